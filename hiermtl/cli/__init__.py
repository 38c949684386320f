"""The command line: reads arguments, calls `hiermtl.commands`, prints what comes back.

Nothing heavy is imported before a command runs, so that `hiermtl --help` answers at once.
"""

from hiermtl.cli.program import app, main

__all__ = ["app", "main"]
