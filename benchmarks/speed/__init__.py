"""How fast the package is against the bare encoder it is built on; see `benchmarks/README.md`."""
