"""What is wrong with a configuration."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A configuration that cannot be used. Its text is one line that names file, line and setting at fault."""
