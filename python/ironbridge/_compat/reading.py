"""What a configuration file and GUNICORN_CMD_ARGS say, before anything is made of it."""

from __future__ import annotations

import ast
import difflib
import os
import re
from dataclasses import dataclass, field
from types import ModuleType

from . import command_line
from .limits import LEVELS
from .python_file import PythonFile, execute
from .setting import Choice, Choices, Value
from .settings import SETTINGS

ARGUMENTS = "GUNICORN_CMD_ARGS"


@dataclass
class Reading:
    """Settings as given.

    Attributes:
        choices: Gunicorn's settings.
        own: Options of ours that Gunicorn does not have.
        warnings: What looks like a mistake.
        file: The file that was executed.
        words: Arguments without a name.
    """

    choices: Choices = field(default_factory=Choices)
    own: dict[str, Choice] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    file: PythonFile | None = None
    words: list[str] = field(default_factory=list)


def read(file: str | None, arguments: list[str], chdir: str | None = None, label: str = ARGUMENTS) -> Reading:
    """Reads a file, and arguments that win over it.

    Args:
        file: PATH, file:PATH or python:MODULE, relative to the folder of the start. None: the arguments may name one.
        arguments: Words in Gunicorn's spelling.
        chdir: A folder to change to before the file is executed.
        label: What messages about arguments begin with.

    Raises:
        ConfigurationError: The file fails, or a value is not one that its setting takes.
    """
    start = os.getcwd()
    given, words = command_line.parse(arguments, label)
    named = given.pop("config", None)
    if chdir is not None:
        os.chdir(chdir)
    reading = Reading(words=words)
    location = file if file is not None else named.value if named else None
    if location:
        _read_file(reading, execute(location, start))
    reading.choices.update(given)
    return reading


def _read_file(reading: Reading, file: PythonFile) -> None:
    reading.file = file
    ours = own_options()
    for name, value in file.names.items():
        # Which file to read cannot be said in the file; Gunicorn ignores it.
        if name in SETTINGS and name != "config":
            setting = SETTINGS[name]
            reading.choices[name] = command_line.choose(setting, value, file.place(name), file.line(name))
        elif name in ours and name != "config":
            _read_own(reading, file, name, value, ours[name])
        elif _may_be_a_typo(name, value):
            _warn_of_typo(reading, file, name, [*SETTINGS, *ours])


def _read_own(reading: Reading, file: PythonFile, name: str, value: object, takes: list[str] | None) -> None:
    """Takes an option of ours, unless a file for Gunicorn just has a variable of that name."""
    plain = _plain(value)
    if plain is None:
        return
    if name == "log_level":
        # The command line takes Python's names too.
        plain = LEVELS.get(str(plain).lower(), plain)
    if takes is not None and str(plain).lower() not in takes:
        expected = ", ".join(takes)
        reading.warnings.append(f"{file.line(name)}: {plain!r} is not one of {expected}: ignored")
        return
    reading.own[name] = Choice(plain, value, file.place(name), file.line(name))


def _plain(value: object) -> Value | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (list, tuple)):
        items = [os.fspath(item) if isinstance(item, os.PathLike) else item for item in value]
        return items if all(isinstance(item, str) for item in items) else None
    return value if isinstance(value, (str, int, float, bool)) else None


def _may_be_a_typo(name: str, value: object) -> bool:
    return not (name.startswith("_") or isinstance(value, ModuleType) or callable(value))


def _warn_of_typo(reading: Reading, file: PythonFile, name: str, known: list[str]) -> None:
    similar = difflib.get_close_matches(name.lower(), known, 1, SIMILAR)
    # Beside the setting itself it is a variable that the setting is computed from.
    if similar and similar[0] not in file.names:
        reading.warnings.append(f"{file.line(name)}: there is no such setting, ignored; did you mean {similar[0]}?")


def own_options() -> dict[str, list[str] | None]:
    """Our options by keyword, and the values of those that take one of a few."""
    from ..options import Options

    found: dict[str, list[str] | None] = {"app": None}
    for name, annotation in Options.__annotations__.items():
        text = str(getattr(annotation, "__forward_arg__", annotation)).replace("typing.", "")
        literal = re.fullmatch(r"(?:Optional\[)?Literal\[(.*?)\]\]?(?: \| None)?", text)
        found[name] = [str(item) for item in ast.literal_eval(f"[{literal[1]}]")] if literal else None
    return found


SIMILAR = 0.86
"""How similar (difflib) a name must be to be worth a warning."""
