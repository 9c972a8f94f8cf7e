"""Values as Gunicorn takes them (gunicorn/config.py, "validate_*"): "4" is a number, "true" a boolean.

Each function returns the value that `cfg` shows to hooks, or raises `ValueError` that says what is expected.
"""

from __future__ import annotations

import grp
import inspect
import ipaddress
import os
import pwd
import re
import sys
from collections.abc import Callable
from typing import Any

_PYTHON_2_OCTAL = re.compile(r"0\d")


def boolean(value: object) -> bool | None:
    """True, False, "true", "false"; None stays None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError("expected True or False")


def number(value: object) -> int:
    """A whole number, 0 or more; text such as "4", "0x10", "0o27" or "027" too."""
    if isinstance(value, str):
        text = value.strip()
        # Permission bits as people have always written them: int("027", 0) would refuse them.
        text = text.replace("0", "0o", 1) if _PYTHON_2_OCTAL.match(text) else text
        try:
            value = int(text, 0)
        except ValueError:
            raise ValueError("expected a whole number") from None
    if not isinstance(value, int):
        raise ValueError("expected a whole number")
    if value < 0:
        raise ValueError("expected a whole number, 0 or more")
    return int(value)


def number_between(least: int, most: int) -> Callable[[object], int]:
    """Whole numbers of a range."""

    def between(value: object) -> int:
        found = number(value)
        if not least <= found <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return found

    return between


def workers(value: object) -> int:
    """A whole number; or "auto", which Gunicorn does not know: the CPUs that this process may use."""
    if value == "auto":
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return usable or 1
    return number(value)


def text(value: object) -> str | None:
    """Text without space around it; None stays None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value.strip()


def texts(value: object) -> list[str]:
    """A list of texts; one text is a list of one."""
    if not value:
        return []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError("expected text, or a list of texts")
    return [_required_text(item) for item in value]


def comma_list(value: object) -> list[str]:
    """Texts parted by commas."""
    found = text(value)
    return [part.strip() for part in found.split(",") if part] if found else []


def networks(value: object) -> list[str]:
    """IP addresses and networks parted by commas; "*" is all."""
    found = comma_list(value)
    for item in found:
        if item != "*":
            try:
                ipaddress.ip_network(item)
            except ValueError as error:
                raise ValueError(f"expected IP addresses, networks or *: {error}") from None
    return found


def mapping(value: object) -> dict[Any, Any]:
    """A dictionary."""
    if not isinstance(value, dict):
        raise ValueError("expected a dictionary")
    return value


def one_of(*choices: str, otherwise: str | None = None) -> Callable[[object], str | None]:
    """One of some words, in any case; None is `otherwise`."""

    def choice(value: object) -> str | None:
        if value is None:
            return otherwise
        if isinstance(value, str) and value.strip().lower() in choices:
            return value.strip().lower()
        raise ValueError(f"expected one of {', '.join(choices)}")

    return choice


def switch(off: str, on: str, *others: str) -> Callable[[object], str | None]:
    """One of some words, for which True and False may stand."""
    words = one_of(off, on, *others, otherwise=off)
    spellings = {"true": on, "1": on, "false": off, "0": off, "none": off}

    def choice(value: object) -> str | None:
        if isinstance(value, bool):
            return on if value else off
        if isinstance(value, str):
            value = spellings.get(value.strip().lower(), value)
        return words(value)

    return choice


def protocols(value: object) -> list[str]:
    """`http_protocols`: h1, h2 or both, parted by commas."""
    found = [name.lower() for name in comma_list(value)]
    if not set(found) <= {"h1", "h2"} or len(found) != len(set(found)):
        raise ValueError("expected h1, h2 or both, parted by a comma")
    return found or ["h1"]


def worker_class(value: object) -> object:
    """A name, a class, or a function that returns one of them."""
    if inspect.isfunction(value) or inspect.ismethod(value):
        value = value()
    return value if inspect.isclass(value) else text(value)


def folder(value: object) -> str:
    """A folder that exists, as an absolute path."""
    path = os.path.abspath(os.path.join(working_folder(), _required_text(value)))
    if not os.path.isdir(path):
        raise ValueError("expected a folder that exists")
    return path


def existing_files(value: object) -> list[str]:
    """Files that exist, and patterns of files."""
    found = texts(value)
    for path in found:
        if not any(sign in path for sign in "*?[") and not os.path.exists(path):
            raise ValueError(f"expected files that exist: {path} does not")
    return found


def user(value: object) -> int:
    """A user's number, by name or number; None is the one that this process has."""
    return _identity(value, os.geteuid(), lambda name: pwd.getpwnam(name).pw_uid, "user")


def group(value: object) -> int:
    """A group's number, by name or number; None is the one that this process has."""
    return _identity(value, os.getegid(), lambda name: grp.getgrnam(name).gr_gid, "group")


def hook(arity: int) -> Callable[[object], Callable[..., object]]:
    """A function of so many arguments, or an import string that names one."""
    return _function((arity,))


def post_request(value: object) -> Callable[..., object]:
    """A function of worker and request; of the environ too; and of the response."""
    return _function((2, 3, 4))(value)


def anything(value: object) -> object:
    """Any value."""
    return value


def arity(function: Callable[..., object]) -> int:
    """How many positional arguments a function has; those with defaults count, `*arguments` does not."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in inspect.signature(function).parameters.values())


def environment(name: str, otherwise: str) -> Callable[[], str]:
    """A default that a variable of the environment may change."""
    return lambda: os.environ.get(name) or otherwise


def working_folder() -> str:
    """The current folder; where the shell came to it through links, as the shell calls it."""
    here, seen = os.getcwd(), os.environ.get("PWD", "")
    try:
        return seen if seen and os.path.samefile(seen, here) else here
    except OSError:
        return here


def _required_text(value: object) -> str:
    found = text(value)
    if found is None:
        raise ValueError("expected text")
    return found


def _identity(value: object, own: int, find: Callable[[str], int], kind: str) -> int:
    if value is None:
        return own
    if isinstance(value, int):
        return value
    name = _required_text(value)
    if name.isdigit():
        return int(name)
    try:
        return find(name)
    except KeyError:
        raise ValueError(f"expected a {kind} of this system") from None


def _function(arities: tuple[int, ...]) -> Callable[[object], Callable[..., object]]:
    expected = " or ".join(str(count) for count in arities)

    def function(value: object) -> Callable[..., object]:
        found = _imported(value) if isinstance(value, str) else value
        if not callable(found):
            raise ValueError("expected a function")
        try:
            count = arity(found)
        except (TypeError, ValueError):
            raise ValueError(f"expected a function that tells its arguments; it takes {expected}") from None
        if count not in arities:
            raise ValueError(f"expected a function of {expected} arguments, and this one has {count}")
        return found

    return function


def _imported(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError("expected a function, or where it is: module.function")
    try:
        __import__(module)
        return getattr(sys.modules[module], attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be imported: {error}") from error
