"""Gunicorn's command line, as in GUNICORN_CMD_ARGS: its spellings, and their unambiguous beginnings."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import NoReturn

from .errors import ConfigurationError
from .setting import Choice, Choices, Flag, Setting
from .settings import SETTINGS


def split(arguments: str, label: str) -> list[str]:
    """Words as a shell parts them.

    Raises:
        ConfigurationError: A quotation does not end.
    """
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise ConfigurationError(f"{label}: {str(error).lower()}") from error


def parse(words: list[str], label: str) -> tuple[Choices, list[str]]:
    """What the command line gives.

    Args:
        words: The arguments, without the program's name.
        label: What messages begin with.

    Returns:
        The settings, and the arguments without a name: the application.

    Raises:
        ConfigurationError: An option does not exist, or has a value that it does not take.
    """
    parser = _Parser(label)
    for setting in SETTINGS.values():
        if setting.flags:
            parser.add_setting(setting)
    parser.add_argument("arguments", nargs="*")
    found = vars(parser.parse_args(words))
    choices = Choices()
    for name, written in found.items():
        if name != "arguments" and written is not None:
            choices[name] = choose(SETTINGS[name], written, f"{label}: {SETTINGS[name].flags[-1]}")
    return choices, found["arguments"]


def choose(setting: Setting, written: object, place: str, line: str = "") -> Choice:
    """A value for a setting.

    Raises:
        ConfigurationError: The setting does not take it.
    """
    try:
        value = setting.kind.parse(written)
    except ValueError as error:
        shown = re.sub(r"\s+", " ", repr(written))
        shown = shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}..."
        raise ConfigurationError(f"{line or place}: invalid value {shown}: {error}") from error
    return Choice(value, written, place, line or place)


class _Parser(argparse.ArgumentParser):
    def __init__(self, label: str) -> None:
        super().__init__(add_help=False)
        self._label = label

    def add_setting(self, setting: Setting) -> None:
        flag = setting.kind.flag
        if flag is Flag.APPEND:
            self.add_argument(*setting.flags, dest=setting.name, action="append")
        elif flag in (Flag.TRUE, Flag.FALSE):
            self.add_argument(*setting.flags, dest=setting.name, action="store_const", const=flag is Flag.TRUE)
        elif flag is Flag.OPTIONAL:
            self.add_argument(*setting.flags, dest=setting.name, nargs="?", const=True)
        else:
            self.add_argument(*setting.flags, dest=setting.name)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{self._label}: {re.sub('^argument ', '', message)}")


LONGEST_VALUE = 60
"""How much of a wrong value is shown."""
