"""Reads uWSGI's .ini files: repeated keys, keys without a value, placeholders (uwsgi-docs, "Configuring uWSGI")."""

from __future__ import annotations

import os
import re
import socket

from .errors import ConfigurationError

Pair = tuple[str, str]


def read_ini(location: str) -> list[Pair]:
    """The options of a file, in its order, with their values; "true" where there is none.

    uWSGI takes any key, so that others can refer to it with %(key). A key that others refer to stands among the options
    all the same, with "%" before its name.

    Args:
        location: PATH or PATH:SECTION.

    Raises:
        ConfigurationError: There is no such file, or it has no such section.
    """
    path, _, section = location.partition(":")
    section = section or "uwsgi"
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    pairs = list(_section(lines, section))
    if not pairs:
        raise ConfigurationError(f"{path}: there is nothing under [{section}]")
    return _replaced(pairs, _magic(path, section))


def _section(lines: list[str], wanted: str) -> list[Pair]:
    found: list[Pair] = []
    current = ""
    for raw in lines:
        line = raw.strip()
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            current = line.strip("[]")
        elif current == wanted:
            key, equals, value = line.partition("=")
            found.append((key.strip(), value.strip() if equals else "true"))
    return found


def _magic(path: str, section: str) -> dict[str, str]:
    """What %d and its kin mean."""
    absolute = os.path.abspath(path)
    folder, name = os.path.split(absolute)
    stem, extension = os.path.splitext(name)
    return {
        "d": f"{folder}/",
        "p": absolute,
        "s": name,
        "n": stem,
        "e": extension.lstrip("."),
        "c": os.path.basename(folder),
        "x": section,
        "k": str(os.cpu_count() or 1),
        "h": socket.gethostname(),
        "%": "%",
    }


def _replaced(pairs: list[Pair], magic: dict[str, str]) -> list[Pair]:
    """Values with %(key) replaced by the value that the key has had before, and $(NAME) by the environment's."""
    known: dict[str, str] = {}
    used = {name.strip() for _, value in pairs for name in re.findall(r"%\(([^)]*)\)", value)}
    found = []
    for key, value in pairs:
        text = re.sub(r"%\(([^)]*)\)", lambda match: known.get(match[1].strip(), match[0]), value)
        text = re.sub(r"%([a-z%])", lambda match: magic.get(match[1], match[0]), text)
        text = re.sub(r"\$\((\w+)\)", lambda match: os.environ.get(match[1], ""), text)
        if key in ("set-placeholder", "set-ph"):
            name, _, text = text.partition("=")
            known[name.strip()] = text.strip()
            continue
        known[key] = text
        found.append((f"%{key}" if key in used else key, text))
    return found
