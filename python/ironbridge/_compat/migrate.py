"""`ironbridge migrate`: command lines and files of other servers as `ironbridge.toml`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable

from .errors import ConfigurationError
from .migrate_gunicorn import gunicorn_command, gunicorn_file
from .toml import Migration
from .uvicorn import uvicorn_options
from .uwsgi import uwsgi_command, uwsgi_file

PROGRAMS: dict[str, Callable[[list[str]], Migration]] = {
    "gunicorn": gunicorn_command,
    "uvicorn": uvicorn_options,
    "uwsgi": uwsgi_command,
}
FILES: dict[str, Callable[[str], Migration]] = {".py": gunicorn_file, ".ini": uwsgi_file}
EXPECTED = (
    "expected a gunicorn.conf.py, a uwsgi.ini, or a command line that begins with gunicorn, uvicorn, uwsgi or"
    " python -m gunicorn"
)


def migrate(arguments: list[str]) -> tuple[str, list[str]]:
    """Translates a configuration.

    Args:
        arguments: The path of a gunicorn.conf.py or of a uWSGI .ini file; or the words of a command line of Gunicorn,
            Uvicorn or uWSGI, perhaps with what starts it before them (`exec`, `poetry run`, `python -m`).

    Returns:
        The text of the TOML file, and lines about what is not the same, what has no equal and what is left to do.

    Raises:
        ConfigurationError: It is none of these, or contains an error.
    """
    migration = _migration(arguments)
    return migration.text(), migration.report


def _migration(arguments: list[str]) -> Migration:
    words = _words(arguments)
    for index, word in enumerate(words):
        program = PROGRAMS.get(_program(word))
        if program is not None:
            return program(words[index + 1 :])
    if len(words) != 1:
        raise ConfigurationError(f"{' '.join(words)}: {EXPECTED}" if words else EXPECTED)
    translate = FILES.get(os.path.splitext(words[0])[1])
    if translate is None:
        raise ConfigurationError(f"{words[0]}: {EXPECTED}")
    return translate(words[0])


def _words(arguments: list[str]) -> list[str]:
    # A command line that was quoted as a whole.
    if len(arguments) == 1 and " " in arguments[0].strip() and not os.path.exists(arguments[0]):
        try:
            return shlex.split(arguments[0])
        except ValueError as error:
            raise ConfigurationError(f"{arguments[0]}: {str(error).lower()}") from error
    return arguments


def _program(word: str) -> str:
    """The program's name without its folder and version: /usr/bin/uwsgi-python3 is uwsgi."""
    return re.sub(r"[-_]?(?:python)?[\d.]*$", "", os.path.basename(word))
