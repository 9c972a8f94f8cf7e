"""Addresses (gunicorn/util.py, "parse_address"), and who may connect to unix sockets."""

from __future__ import annotations

import re
from typing import TypeAlias

from .setting import Choice, Choices, Outcome, Value, Verdict
from .values import texts

Address: TypeAlias = tuple[str, int] | str | int
"""Host and port, the path of a unix socket, or the number of an open one: what `server.address` lists."""


def addresses(value: object) -> list[str]:
    """`bind`: one address or a list of them. Each must be one."""
    found = texts(value)
    for item in found:
        parse_address(item)
    return found


def parse_address(text: str) -> Address:
    """An address as Gunicorn understands it: HOST, HOST:PORT, [IPV6]:PORT, tcp://, unix:PATH, unix://PATH, fd://N.

    Raises:
        ValueError: The port, or the descriptor, is no number.
    """
    unix = re.match(r"unix:(//)?", text)
    if unix:
        return text[unix.end() :]
    if text.startswith("fd://"):
        return _whole(text[5:], "the number of an open file descriptor after fd://")
    netloc = text[6:] if text.startswith("tcp://") else text
    if netloc.startswith("[") and "]" in netloc:
        host, _, rest = netloc[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    else:
        host, _, port = netloc.partition(":")
    if not netloc:
        host = EVERY_INTERFACE
    return host.lower(), _whole(port or DEFAULT_PORT, f"a number after the colon of {text!r}")


def bind(choice: Choice, choices: Choices) -> Outcome:
    """`bind` as ours. Sockets in the file system get the permissions that Gunicorn gives them.

    It makes them under its umask, which is 0 unless it is set, and chowns them: without that, an nginx of another user
    could not connect any more.
    """
    ours = [_ours(parse_address(item)) for item in choice.value]
    options: dict[str, Value] = {"bind": ours} if ours else {}
    companions: dict[str, Value] = {}
    if any(item.startswith("unix:") for item in ours):
        companions["unix_socket_mode"] = f"{0o777 & ~choices.value('umask'):o}"
        if "group" in choices:
            companions["unix_socket_group"] = str(choices["group"].written)
    return Outcome(Verdict.EXACT, options, "", companions)


def _ours(address: Address) -> str:
    if isinstance(address, int):
        return f"fd://{address}"
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    # Without a host Gunicorn listens on IPv4 only.
    host = f"[{host}]" if ":" in host else host or EVERY_INTERFACE
    return f"{host}:{port}"


def _whole(text: str | int, expected: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected {expected}") from None


EVERY_INTERFACE = "0.0.0.0"
DEFAULT_PORT = 8000
