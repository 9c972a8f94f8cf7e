"""`ironbridge check FILE`: what becomes of each setting of a configuration file."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from .config import Translated, environment, translate
from .reading import Reading, read
from .setting import Value, Verdict
from .settings import HOOKS


@dataclass(frozen=True)
class Row:
    """One setting of a file.

    Attributes:
        setting: Its name.
        value: Its value, shortened to be shown.
        verdict: "exact", "approximate", "ignored", "refused"; "ours" for options of ours.
        becomes: Options of ours, "hook", or nothing.
        why: What is different, why it is ignored, or why it is refused.
    """

    setting: str
    value: str
    verdict: str
    becomes: str
    why: str


def check(file: str) -> str:
    """The table of a file's settings, as text; see `examine`."""
    return examine(file)[0]


def examine(file: str) -> tuple[str, bool]:
    """The table of a file's settings, in its order, what looks like a mistake, and a summary.

    Args:
        file: PATH, file:PATH or python:MODULE.

    Returns:
        The text, and whether the server would start.

    Raises:
        ConfigurationError: The file fails, or a value is not one that its setting takes.
    """
    reading = read(file, [])
    environment(reading)
    found = rows(reading)
    width = max((len(row.setting) for row in found), default=0)
    lines = [line for row in found for line in _lines(row, width)]
    lines += ["", *reading.warnings] if reading.warnings else []
    return "\n".join([*lines, "", _summary(found)]) + "\n", not is_refused(found)


def rows(reading: Reading) -> list[Row]:
    """The rows of the table, in the file's order."""
    theirs = {item.setting.name: item for item in translate(reading)}
    ours = reading.own
    order = list(reading.file.names) if reading.file else []
    names = sorted([*theirs, *ours], key=lambda name: order.index(name) if name in order else len(order))
    return [_row(theirs[name]) if name in theirs else _own_row(reading, name) for name in names]


def is_refused(found: list[Row]) -> bool:
    """Whether the server would not start."""
    return any(row.verdict == Verdict.REFUSED.value for row in found)


def options_text(options: dict[str, Value]) -> str:
    """Options as people write them: "graceful-timeout = 30"."""
    return ", ".join(f"{option.replace('_', '-')} = {shown(value)}" for option, value in options.items())


def shown(value: object) -> str:
    """A value on one short line."""
    if callable(value) and not isinstance(value, str):
        return f"{getattr(value, '__name__', type(value).__name__)}()"
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(item) for item in value)
    text = re.sub(r"\s+", " ", str(value) if isinstance(value, (str, int, float)) else repr(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _row(item: Translated) -> Row:
    options = {**item.outcome.options, **item.outcome.companions}
    verdict = item.outcome.verdict
    if verdict in (Verdict.IGNORED, Verdict.REFUSED) and item.setting.is_default(item.choice):
        return Row(item.setting.name, shown(item.choice.written), Verdict.EXACT.value, "", "")
    becomes = "hook" if item.setting.name in HOOKS else options_text(options)
    return Row(item.setting.name, shown(item.choice.written), verdict.value, becomes, item.outcome.why)


def _own_row(reading: Reading, name: str) -> Row:
    choice = reading.own[name]
    return Row(name, shown(choice.value), "ours", options_text({name: choice.value}), "")


def _lines(row: Row, width: int) -> list[str]:
    head = f"{row.setting:{width}}  {row.verdict:11}  {row.value}"
    lines = [f"{head}  ->  {row.becomes}" if row.becomes else head]
    indent = " " * (width + 15)
    return lines + textwrap.wrap(row.why, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _summary(found: list[Row]) -> str:
    counts = {verdict.value: sum(row.verdict == verdict.value for row in found) for verdict in Verdict}
    text = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing is set"
    return f"{text}: the server would not start" if is_refused(found) else text


LONGEST = 48
WIDTH = 110
