"""Measurements of the package. They are run by hand and belong to no test and no wheel."""
