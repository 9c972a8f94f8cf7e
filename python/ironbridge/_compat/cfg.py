"""`server.cfg` and `worker.cfg`: every setting's value, defaults included (gunicorn/config.py, "Config")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .binding import Address, parse_address
from .setting import Choices, Setting
from .settings import DIRTY_HOOKS, HOOKS, SETTINGS
from .worker_class import class_name, worker_kind


class CfgSetting:
    """One entry of `cfg.settings`."""

    def __init__(self, setting: Setting, value: Any) -> None:
        self.name = setting.name
        self.section = setting.section
        self.cli = list(setting.flags)
        self.default = setting.default_value()
        self.value = value

    def get(self) -> Any:
        """The value."""
        return self.value

    def set(self, value: Any) -> None:
        """Another value, as `cfg.set()`."""
        self.value = SETTINGS[self.name].kind.parse(value)


class Cfg:
    """The settings' values as attributes. A name that is none raises `AttributeError`.

    Changing a value tells hooks that read it later, and changes nothing else.

    Attributes:
        settings: Entries with `name`, `value`, `default`, `cli`, `section` and `get()`, by name.
        env: The variables of `raw_env`.
    """

    settings: dict[str, CfgSetting]
    env: dict[str, str]

    def __init__(self, choices: Choices, env: Mapping[str, str]) -> None:
        self.settings = {name: CfgSetting(setting, _value(setting, choices)) for name, setting in SETTINGS.items()}
        self.env = dict(env)

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask before __init__ has run.
        if name == "settings" or name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        return self.settings[name].value

    def __str__(self) -> str:
        width = max(map(len, self.settings))
        return "\n".join(f"{name:{width}} = {_shown(self.settings[name].value)}" for name in sorted(self.settings))

    def set(self, name: str, value: Any) -> None:
        """Gives a setting another value."""
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.settings[name].set(value)

    def settle(self, name: str, value: Any) -> None:
        """Gives a setting the value that an option of ours has, which Gunicorn might not take (half a second)."""
        try:
            self.set(name, value)
        except ValueError:
            self.settings[name].value = value

    @property
    def address(self) -> list[Address]:
        """The addresses of `bind`: (host, port), the path of a unix socket, or a descriptor."""
        return [parse_address(item) for item in self.settings["bind"].value]

    @property
    def uid(self) -> int:
        """The number of `user`."""
        found: int = self.settings["user"].value
        return found

    @property
    def gid(self) -> int:
        """The number of `group`."""
        found: int = self.settings["group"].value
        return found

    @property
    def proc_name(self) -> str:
        """The process name: `proc_name`, or else `default_proc_name`."""
        found: str = self.settings["proc_name"].value or self.settings["default_proc_name"].value
        return found

    @property
    def is_ssl(self) -> bool:
        """Whether a certificate or a key was given."""
        return bool(self.settings["certfile"].value or self.settings["keyfile"].value)

    @property
    def worker_class_str(self) -> str:
        """The name of the worker class; "gthread" where sync has several threads."""
        value = self.settings["worker_class"].value
        if worker_kind(value) == "sync" and self.settings["threads"].value > 1:
            return "gthread"
        return value if isinstance(value, str) else class_name(value).rpartition(".")[2]


def _value(setting: Setting, choices: Choices) -> Any:
    value = choices.value(setting.name)
    is_hook = setting.name in HOOKS or setting.name in DIRTY_HOOKS
    return _no_hook if value is None and is_hook else value


def _no_hook(*arguments: object) -> None:
    """What a hook that is not defined does."""


def _shown(value: object) -> object:
    return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>" if callable(value) else value
