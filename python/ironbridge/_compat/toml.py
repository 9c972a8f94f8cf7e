"""Writes `ironbridge.toml`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .setting import Value


@dataclass
class Entry:
    """One line of the file: our option by keyword, its value, and what to say about it."""

    option: str
    value: Value
    comment: str = ""


@dataclass
class Migration:
    """What a configuration of another server becomes.

    Attributes:
        source: Where it stood.
        entries: The lines of the file.
        report: What is not the same, what had no equal and what is to be done by hand.
    """

    source: str
    entries: list[Entry] = field(default_factory=list)
    report: list[str] = field(default_factory=list)

    def set(self, option: str, value: Value, comment: str = "") -> None:
        """Sets an option; one that is a list already gets longer."""
        for entry in self.entries:
            if entry.option == option:
                if isinstance(entry.value, list) and isinstance(value, list):
                    entry.value = [*entry.value, *value]
                else:
                    entry.value, entry.comment = value, comment
                return
        self.entries.append(Entry(option, value, comment))

    def value(self, option: str) -> Value | None:
        """What an option is set to."""
        return next((entry.value for entry in self.entries if entry.option == option), None)

    def drop(self, option: str) -> None:
        """Takes an option back."""
        self.entries = [entry for entry in self.entries if entry.option != option]

    def approximate(self, name: str, why: str) -> None:
        """Reports what is nearly the same."""
        self._say("approximate", name, why)

    def ignored(self, name: str, why: str) -> None:
        """Reports what is not taken, and what the site works without."""
        self._say("ignored", name, why)

    def missing(self, name: str, why: str) -> None:
        """Reports what the site may need and does not get."""
        self._say("no equal", name, why)

    def by_hand(self, name: str, why: str) -> None:
        """Reports what somebody has to do."""
        self._say("by hand", name, why)

    def text(self) -> str:
        """The file."""
        entries = sorted(self.entries, key=lambda entry: entry.option != "app")
        lines = [_line(entry) for entry in entries]
        return "\n".join([f"# Made by `ironbridge migrate` from {self.source}.", "", *lines]) + "\n"

    def _say(self, kind: str, name: str, why: str) -> None:
        line = f"{kind}: {name}: {why}"
        if line not in self.report:
            self.report.append(line)


def literal(value: Value) -> str:
    """A value as TOML writes it (TOML 1.0, "String", "Array")."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, str):
        # A JSON string is a basic string of TOML, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)


def _line(entry: Entry) -> str:
    line = f"{entry.option.replace('_', '-')} = {literal(entry.value)}"
    return f"{line}  # {' '.join(entry.comment.split())}" if entry.comment else line
