"""Gunicorn's files and command lines for `ironbridge migrate`."""

from __future__ import annotations

import ast
import os

from .check import shown
from .config import Translated, environment, settle, translate
from .reading import Reading, read
from .setting import Verdict
from .settings import HOOKS
from .settings_mechanics import FORWARDED
from .toml import Migration

DEFAULT_FILE = "gunicorn.conf.py"
COMMAND_LINE = "command line"
LOG_SETTINGS = ("logconfig", "logconfig_dict", "logconfig_json")


def gunicorn_file(path: str) -> Migration:
    """A configuration file."""
    return _migration(read(path, []), path)


def gunicorn_command(words: list[str]) -> Migration:
    """A command line, and the file that it names, or that Gunicorn would find."""
    found = DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None
    reading = read(None, words, label=COMMAND_LINE)
    if reading.file is None and found:
        reading = read(found, words, label=COMMAND_LINE)
    source = "a command line of gunicorn"
    return _migration(reading, f"{source} and {reading.file.label}" if reading.file else source)


def _migration(reading: Reading, source: str) -> Migration:
    migration = Migration(source)
    translated = translate(reading)
    if reading.words:
        migration.set("app", reading.words[0])
    for given in settle(reading, translated):
        if given.option == "check" or given.option == "app" and reading.words:
            continue
        migration.set(given.option, given.value, _comment(reading, given.place))
    migration.report += reading.warnings
    for item in translated:
        _report(migration, item)
    _report_python(migration, reading)
    _report_defaults(migration, reading)
    return migration


def _comment(reading: Reading, place: str) -> str:
    """How a value was computed, which the file cannot say."""
    file = reading.file
    if file is None or not place.startswith(f"{file.label}: "):
        return ""
    assignment = file.assignments.get(place.removeprefix(f"{file.label}: "))
    if assignment is None or not assignment.expression or _is_constant(assignment.expression):
        return ""
    return f"here and now: {shown(assignment.expression)}"


def _is_constant(expression: str) -> bool:
    try:
        ast.literal_eval(expression)
    except (ValueError, SyntaxError):
        return False
    return True


def _report(migration: Migration, item: Translated) -> None:
    name = item.setting.name
    if item.setting.is_default(item.choice) or name in LOG_SETTINGS:
        return
    if item.outcome.verdict is Verdict.APPROXIMATE:
        migration.approximate(name, item.outcome.why)
    elif item.outcome.verdict is Verdict.IGNORED:
        migration.ignored(name, item.outcome.why)
    elif item.outcome.verdict is Verdict.REFUSED:
        migration.missing(name, item.outcome.why)


def _report_python(migration: Migration, reading: Reading) -> None:
    keep = f"`ironbridge -c {reading.file.label}` reads them as they are" if reading.file else "they are Python"
    hooks = [name for name in reading.choices if name in HOOKS]
    if hooks:
        migration.by_hand(", ".join(hooks), f"hooks cannot be written in TOML; {keep}")
    logs = [name for name in LOG_SETTINGS if reading.choices.value(name)]
    if logs:
        migration.by_hand(", ".join(logs), f"configure Python's logging in the application; {keep}")
    variables = environment(reading)
    if variables:
        lines = ", ".join(f"{name}={value}" for name, value in variables.items())
        migration.by_hand("raw_env", f"write these lines to a file, and name it as env-file: {lines}")


def _report_defaults(migration: Migration, reading: Reading) -> None:
    """What Gunicorn does where nothing is said."""
    if not {"worker_class", "threads"} & set(reading.choices):
        migration.by_hand("threads", "Gunicorn has one; threads = 1 keeps that, for applications that need it")
    if "forwarded_allow_ips" not in reading.choices:
        migration.missing("forwarded_allow_ips", FORWARDED)
