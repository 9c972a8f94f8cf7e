"""Stands in for the package of this name, as far as a configuration file uses it."""
