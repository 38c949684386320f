"""The version of the package, and its one source."""

__version__ = "0.1.0"
