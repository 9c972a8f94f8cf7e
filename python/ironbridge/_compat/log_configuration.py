"""Python's logging as `logconfig*` and `capture_output` want it (gunicorn/glogging.py, "setup")."""

from __future__ import annotations

import copy
import os
import sys
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError
from .setting import Choices

CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}
"""What a configuration is merged over, key by key of the outermost dictionary."""


@dataclass(frozen=True)
class LogConfiguration:
    """What a worker does about logging once it is forked.

    Attributes:
        dictionary: `logconfig_dict`.
        json_file: `logconfig_json`.
        ini_file: `logconfig`.
        capture: The file that takes what is printed (`capture_output`).
        place: What messages begin with.
    """

    dictionary: dict[str, Any] | None
    json_file: str | None
    ini_file: str | None
    capture: str | None
    place: str

    @classmethod
    def of(cls, choices: Choices) -> LogConfiguration | None:
        """What the settings ask for; None where they ask for nothing."""
        dictionary = choices.value("logconfig_dict") or None
        json_file, ini_file = choices.value("logconfig_json"), choices.value("logconfig")
        log_file = choices.value("errorlog")
        capture = log_file if choices.value("capture_output") and log_file not in (None, "-") else None
        given = [name for name in ("logconfig_dict", "logconfig_json", "logconfig") if choices.value(name)]
        if not given and capture is None:
            return None
        return cls(dictionary, json_file, ini_file, capture, choices[given[0]].line if given else "capture_output")

    def apply(self) -> None:
        """Configures logging in this process. The first of dictionary, JSON and INI that there is counts.

        Raises:
            ConfigurationError: The configuration is none.
        """
        if self.capture is not None:
            _capture(self.capture)
        try:
            self._configure()
        except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            cause = f": {error.__cause__}" if error.__cause__ else ""
            raise ConfigurationError(f"{self.place}: {error}{cause}") from error

    def _configure(self) -> None:
        import logging.config

        # A copy, as dictConfig() changes what it is given.
        defaults = copy.deepcopy(CONFIG_DEFAULTS)
        if self.dictionary is not None:
            logging.config.dictConfig({**defaults, **self.dictionary})
        elif self.json_file is not None:
            import json

            # Gunicorn too takes a file that is missing for none.
            if os.path.exists(self.json_file):
                with open(self.json_file, encoding="utf-8") as file:
                    logging.config.dictConfig({**defaults, **json.load(file)})
        elif self.ini_file is not None:
            if not os.path.exists(self.ini_file):
                raise FileNotFoundError(f"{self.ini_file} does not exist")
            defaults.update({"__file__": self.ini_file, "here": os.path.dirname(self.ini_file)})
            logging.config.fileConfig(self.ini_file, defaults=defaults, disable_existing_loggers=False)


def _capture(path: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
