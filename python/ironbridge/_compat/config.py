"""A configuration for Gunicorn as options of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .cfg import Cfg
from .command_line import split
from .errors import ConfigurationError
from .hooks import Hooks
from .log_configuration import LogConfiguration
from .reading import ARGUMENTS, Reading, read
from .setting import Choice, Outcome, Setting, Value, Verdict
from .settings import HOOKS, SETTINGS

__all__ = ["Configuration", "ConfigurationError", "Given", "load"]


@dataclass(frozen=True)
class Given:
    """An option of ours.

    Attributes:
        option: Its keyword: "graceful_timeout", "app".
        value: Its value.
        place: What error messages begin with: "gunicorn.conf.py: workers", "GUNICORN_CMD_ARGS: --workers".
    """

    option: str
    value: Value
    place: str


@dataclass
class Configuration:
    """What a configuration says.

    Attributes:
        given: Options.
        warnings: One line each.
        environment: Variables to set before the application is imported (`raw_env`).
        hooks: The hooks that the file defines. None: it defines none.
        logging: What to apply in each worker after the fork. None: nothing.
    """

    given: list[Given] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    hooks: Hooks | None = None
    logging: LogConfiguration | None = None


@dataclass(frozen=True)
class Translated:
    """A setting that was given, and what becomes of it."""

    setting: Setting
    choice: Choice
    outcome: Outcome

    def is_refused(self) -> bool:
        """Whether serving is refused for it; never for Gunicorn's default."""
        return self.outcome.verdict is Verdict.REFUSED and not self.setting.is_default(self.choice)

    def warning(self) -> str | None:
        """What the log should say about it."""
        if self.outcome.verdict is Verdict.EXACT or self.setting.is_default(self.choice):
            return None
        word = "ignored: " if self.outcome.verdict is Verdict.IGNORED else ""
        return f"{self.choice.line}: {word}{self.outcome.why}"


def load(file: str | None, arguments: str | None, chdir: str | None = None) -> Configuration:
    """Executes a configuration file and reads GUNICORN_CMD_ARGS, which wins over it.

    Args:
        file: PATH, file:PATH or python:MODULE. None: `arguments` may name one with -c.
        arguments: GUNICORN_CMD_ARGS.
        chdir: A folder to change to before the file is executed; `file` is relative to the folder before.

    Raises:
        ConfigurationError: The file fails, a value is not one that its setting takes, or a setting is refused.
    """
    reading = read(file, split(arguments or "", ARGUMENTS), chdir)
    translated = translate(reading)
    for item in translated:
        if item.is_refused():
            raise ConfigurationError(f"{item.choice.line}: refused: {item.outcome.why}")
    given = settle(reading, translated)
    return Configuration(
        given=given,
        warnings=[*reading.warnings, *_warnings(reading, translated)],
        environment=environment(reading),
        hooks=_hooks(reading),
        logging=LogConfiguration.of(reading.choices),
    )


def translate(reading: Reading) -> list[Translated]:
    """What becomes of each setting, in their order."""
    return [
        Translated(SETTINGS[name], choice, SETTINGS[name].outcome(choice, reading.choices))
        for name, choice in reading.choices.items()
    ]


def settle(reading: Reading, translated: list[Translated]) -> list[Given]:
    """One value for each option.

    What Gunicorn's settings say exactly counts most: a variable of a file may be called like an option of ours. An
    option of ours beside a setting that only comes near to it is meant. Companions of settings give way to anything.
    """
    companions: dict[str, Given] = {}
    near: dict[str, Given] = {}
    exact: dict[str, Given] = {}
    for item in translated:
        kept = exact if item.outcome.verdict is Verdict.EXACT else near
        kept.update(_given(item.outcome.options, item.choice.place))
        companions.update(_given(item.outcome.companions, item.choice.place))
    own = {option: Given(option, choice.value, choice.place) for option, choice in reading.own.items()}
    settled = {**companions, **near, **own, **exact}
    mentioned = [option for item in translated for option in (*item.outcome.options, *item.outcome.companions)]
    return [settled[option] for option in dict.fromkeys([*mentioned, *own])]


def _given(options: Mapping[str, Value], place: str) -> dict[str, Given]:
    return {option: Given(option, value, place) for option, value in options.items()}


def environment(reading: Reading) -> dict[str, str]:
    """The variables of `raw_env`.

    Raises:
        ConfigurationError: One is not NAME=value.
    """
    choice = reading.choices.get("raw_env")
    found: dict[str, str] = {}
    for item in choice.value if choice else []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            assert choice is not None
            raise ConfigurationError(f"{choice.line}: invalid value {item!r}: expected NAME=value")
        found[name] = value
    return found


def _warnings(reading: Reading, translated: list[Translated]) -> list[str]:
    found = []
    for item in translated:
        overridden = item.outcome.options and set(item.outcome.options) <= set(reading.own)
        warning = item.warning()
        if warning and not overridden:
            found.append(warning)
        if item.outcome.verdict is Verdict.EXACT:
            found += _contradictions(reading, item)
    return found


def _contradictions(reading: Reading, item: Translated) -> list[str]:
    return [
        f"{reading.own[option].line}: ignored: {item.setting.name} says {value!r}"
        for option, value in item.outcome.options.items()
        if option in reading.own and reading.own[option].value not in (value, item.choice.written)
    ]


def _hooks(reading: Reading) -> Hooks | None:
    functions = {name: choice.value for name, choice in reading.choices.items() if name in HOOKS}
    return Hooks(functions, Cfg(reading.choices, environment(reading))) if functions else None
