"""One setting of Gunicorn: how it is written, what values it has, and what becomes of them here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from . import values

Value: TypeAlias = str | int | float | bool | list[str]
"""A value of an option of ours."""


class Verdict(enum.Enum):
    """How much of a setting's meaning is kept."""

    EXACT = "exact"
    APPROXIMATE = "approximate"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What becomes of one value.

    Attributes:
        verdict: How much of its meaning is kept.
        options: Our options by keyword.
        why: What is different, why it is ignored, or why it is refused.
        companions: More options, which hold unless something else sets them.
    """

    verdict: Verdict
    options: Mapping[str, Value] = field(default_factory=dict)
    why: str = ""
    companions: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A value that was given to a setting.

    Attributes:
        value: As Gunicorn would hold it.
        written: As it was written.
        place: What messages begin with: "gunicorn.conf.py: workers".
        line: The place with the line, where that is known: "gunicorn.conf.py, line 3: workers".
    """

    value: Any
    written: object
    place: str
    line: str


class Choices(dict[str, Choice]):
    """All values that were given, by the settings' names, in the order of the file."""

    def value(self, name: str) -> Any:
        """The value given, or else Gunicorn's default."""
        from .settings import SETTINGS

        return self[name].value if name in self else SETTINGS[name].default_value()


Translate = Callable[[Choice, Choices], Outcome]
"""Turns a value, seen among all others, into options of ours."""


@dataclass(frozen=True)
class Rule:
    """What becomes of a setting.

    Attributes:
        verdict: Its usual verdict, for the documentation.
        option: The option of ours that it is, if any.
        why: As in `Outcome`.
        translate: The rule itself.
    """

    verdict: Verdict
    option: str
    why: str
    translate: Translate


def exact(option: str, convert: Callable[[Any], Value] | None = None, why: str = "") -> Rule:
    """It is an option of ours."""
    return _option(Verdict.EXACT, option, convert, why)


def approximate(option: str, why: str, convert: Callable[[Any], Value] | None = None) -> Rule:
    """An option of ours is near to it."""
    return _option(Verdict.APPROXIMATE, option, convert, why)


def needless(why: str) -> Rule:
    """What it asks for is so anyway, or is done without an option."""
    return _no_option(Verdict.EXACT, why)


def near(why: str) -> Rule:
    """What is done without an option is near to it."""
    return _no_option(Verdict.APPROXIMATE, why)


def ignored(why: str, unless: Callable[[Any], bool] | None = None) -> Rule:
    """The site works without it; `unless` tells values that ask for nothing."""
    return _unless(unless or _never, Verdict.IGNORED, why)


def refused(why: str) -> Rule:
    """Serving without it would be unsafe, or wrong; unless it is off."""
    return _unless(is_off, Verdict.REFUSED, why)


def ruled(verdict: Verdict, option: str, why: str, translate: Translate) -> Rule:
    """It depends on the value, or on other settings."""
    return Rule(verdict, option, why, translate)


def is_off(value: object) -> bool:
    """Whether a value switches a setting off."""
    return not value or value == "off"


class Flag(enum.Enum):
    """How the command line takes a setting (argparse's actions)."""

    VALUE = enum.auto()
    APPEND = enum.auto()
    TRUE = enum.auto()
    FALSE = enum.auto()
    OPTIONAL = enum.auto()


@dataclass(frozen=True)
class Kind:
    """What values a setting has, and how the command line takes them."""

    parse: Callable[[Any], Any]
    flag: Flag = Flag.VALUE


TEXT = Kind(values.text)
NUMBER = Kind(values.number)
BOOLEAN = Kind(values.boolean, Flag.TRUE)
LIST = Kind(values.texts, Flag.APPEND)


@dataclass(frozen=True)
class Setting:
    """A setting of Gunicorn.

    Attributes:
        name: Its name in a configuration file.
        flags: Its spellings on the command line. Empty: it has none.
        kind: Its values.
        default: Gunicorn's default, or a function that finds it out.
        rule: What becomes of it.
        section: Under which heading Gunicorn's documentation has it.
    """

    name: str
    flags: tuple[str, ...]
    kind: Kind
    default: Any
    rule: Rule
    section: str = ""

    def default_value(self) -> Any:
        """Gunicorn's default as `cfg` shows it."""
        default = self.default() if callable(self.default) else self.default
        # As Gunicorn does: what has no default is not asked what it means.
        return default if default is None else self.kind.parse(default)

    def outcome(self, choice: Choice, choices: Choices) -> Outcome:
        """What becomes of a value."""
        return self.rule.translate(choice, choices)

    def is_default(self, choice: Choice) -> bool:
        """Whether a value says nothing new."""
        return bool(choice.value is None or choice.value == self.default_value())


def _option(verdict: Verdict, option: str, convert: Callable[[Any], Value] | None, why: str) -> Rule:
    def translate(choice: Choice, choices: Choices) -> Outcome:
        # None is "not set"; the others that may be empty mean it (`root_path = ""`).
        if choice.value is None or choice.value == []:
            return Outcome(Verdict.EXACT)
        return Outcome(verdict, {option: convert(choice.value) if convert else choice.value}, why)

    return Rule(verdict, option, why, translate)


def _no_option(verdict: Verdict, why: str) -> Rule:
    return Rule(verdict, "", why, lambda choice, choices: Outcome(verdict, {}, why))


def _unless(harmless: Callable[[Any], bool], verdict: Verdict, why: str) -> Rule:
    def translate(choice: Choice, choices: Choices) -> Outcome:
        return Outcome(Verdict.EXACT) if harmless(choice.value) else Outcome(verdict, {}, why)

    return Rule(verdict, "", why, translate)


def _never(value: object) -> bool:
    return False
