"""Uvicorn's command line as options of ours (uvicorn 0.54, `uvicorn --help`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .errors import ConfigurationError
from .setting import Value
from .settings_protocols import TLS
from .toml import Migration

LABEL = "command line of uvicorn"


class Words(dict[str, list[str]]):
    """What each flag was given, in the order of the command line; a flag that takes nothing has an empty list."""

    def last(self, flag: str, otherwise: str = "") -> str:
        """The value that counts."""
        return self[flag][-1] if self.get(flag) else otherwise


@dataclass(frozen=True)
class Flag:
    """A flag: whether it takes a value, and what becomes of it."""

    takes_value: bool
    becomes: Callable[[Migration, str, str], None]


def uvicorn_options(words: list[str]) -> Migration:
    """What Uvicorn's flags are here.

    Args:
        words: The arguments, without the program's name.

    Raises:
        ConfigurationError: A flag does not exist, or lacks its value.
    """
    migration = Migration("a command line of uvicorn")
    address = Words()
    for flag, value in _parse(words):
        if flag in ADDRESS:
            address.setdefault(flag, []).append(value)
        elif not flag:
            migration.set("app", value)
        else:
            FLAGS[flag].becomes(migration, flag, value)
    _bind(migration, address)
    _defaults(migration, {flag for flag, _ in _parse(words)})
    return migration


def _parse(words: list[str]) -> Iterator[tuple[str, str]]:
    """Flags and their values; the application has an empty flag."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            yield "", word
            continue
        flag, equals, value = word.partition("=")
        if flag not in FLAGS and flag not in ADDRESS:
            raise ConfigurationError(f"{LABEL}: {flag}: uvicorn has no such option")
        if (flag in ADDRESS or FLAGS[flag].takes_value) and not equals:
            found = next(rest, None)
            if found is None:
                raise ConfigurationError(f"{LABEL}: {flag}: needs a value")
            value = found
        yield flag, value


def _bind(migration: Migration, address: Words) -> None:
    """uvicorn/config.py, "bind_socket": a descriptor wins, then a socket in the file system, then host and port."""
    if "--fd" in address:
        migration.set("bind", [f"fd://{address.last('--fd')}"])
    elif "--uds" in address:
        migration.set("bind", [f"unix:{address.last('--uds')}"])
        migration.set("unix_socket_mode", "666", "as uvicorn makes it")
    elif address:
        host, port = address.last("--host", "127.0.0.1"), address.last("--port", "8000")
        migration.set("bind", [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"])


def _defaults(migration: Migration, flags: set[str]) -> None:
    """What Uvicorn does where nothing is said."""
    if not flags & {"--access-log", "--no-access-log"}:
        migration.set("access_log", "-", "uvicorn writes one unless --no-access-log")
    if "--timeout-graceful-shutdown" not in flags:
        migration.approximate("--timeout-graceful-shutdown", "uvicorn waits for ever; here it is 30 seconds")
    if not flags & {"--proxy-headers", "--no-proxy-headers"}:
        migration.missing("--proxy-headers", PROXY_HEADERS)


def _same(option: str, number: bool = False) -> Flag:
    def becomes(migration: Migration, flag: str, value: str) -> None:
        migration.set(option, _number(flag, value) if number else value)

    return Flag(True, becomes)


def _near(option: str, why: str, number: bool = False) -> Flag:
    def becomes(migration: Migration, flag: str, value: str) -> None:
        migration.set(option, _number(flag, value) if number else value)
        migration.approximate(flag, why)

    return Flag(True, becomes)


def _on(option: str, value: Value = True) -> Flag:
    return Flag(False, lambda migration, flag, _: migration.set(option, value))


def _ignored(why: str, takes_value: bool = True) -> Flag:
    return Flag(takes_value, lambda migration, flag, _: migration.ignored(flag, why))


def _missing(why: str, takes_value: bool = True) -> Flag:
    return Flag(takes_value, lambda migration, flag, _: migration.missing(flag, why))


def _nothing(takes_value: bool = False) -> Flag:
    return Flag(takes_value, lambda migration, flag, value: None)


def _number(flag: str, value: str) -> int | float:
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise ConfigurationError(f"{LABEL}: {flag}: invalid value {value!r}: expected a number") from None


def _watched(pattern: str) -> Flag:
    def becomes(migration: Migration, flag: str, value: str) -> None:
        migration.set("reload_extra", [pattern.format(value.rstrip("/"))])

    return Flag(True, becomes)


def _interface(migration: Migration, flag: str, value: str) -> None:
    migration.set("interface", "asgi" if value in ("asgi2", "asgi3") else value)


def _loop(migration: Migration, flag: str, value: str) -> None:
    if value == "zuvloop":
        migration.missing(flag, "zuvloop is not known; asyncio waits in the server's own reactor")
    elif value == "none":
        migration.set("loop", "asyncio")
    else:
        migration.set("loop", value)


def _log_level(migration: Migration, flag: str, value: str) -> None:
    migration.set("log_level", {"warning": "warn", "critical": "error"}.get(value, value))


def _websockets(migration: Migration, flag: str, value: str) -> None:
    if value == "none":
        migration.missing(flag, "WebSockets are always understood")
    else:
        migration.ignored(flag, "the server understands WebSockets itself")


def _deflate(migration: Migration, flag: str, value: str) -> None:
    if value.lower() in ("false", "0", "no", "off", "f", "n"):
        migration.set("no_ws_deflate", True)


def _app_dir(migration: Migration, flag: str, value: str) -> None:
    migration.set("pythonpath", [value or "."])


PROXY_HEADERS = "X-Forwarded-Proto and X-Forwarded-For are not evaluated yet; uvicorn does it for 127.0.0.1"

ADDRESS = frozenset(("--host", "--port", "--uds", "--fd"))
"""Flags that together say where to listen."""

FLAGS: dict[str, Flag] = {
    "--reload": _on("reload"),
    "--reload-dir": _watched("{}/**/*.py"),
    "--reload-include": _watched("**/{}"),
    "--reload-exclude": _ignored("nothing that is watched can be left out"),
    "--reload-delay": _ignored("changes are noticed at once"),
    "--workers": _same("workers", number=True),
    "--loop": Flag(True, _loop),
    "--http": _ignored("the server understands HTTP itself"),
    "--http2": _ignored("HTTP/2 is not spoken; clients use HTTP/1.1", takes_value=False),
    "--no-http2": _nothing(),
    "--ws": Flag(True, _websockets),
    "--ws-max-size": _same("ws_max_size", number=True),
    "--ws-max-queue": _same("ws_max_queue", number=True),
    "--ws-ping-interval": _same("ws_ping_interval", number=True),
    "--ws-ping-timeout": _same("ws_ping_timeout", number=True),
    "--ws-per-message-deflate": Flag(True, _deflate),
    "--lifespan": _same("lifespan"),
    "--interface": Flag(True, _interface),
    "--env-file": _near("env_file", "lines are KEY=value; python-dotenv's ${OTHER} is not replaced"),
    "--log-config": _missing("configure Python's logging in the application; log-format is the server's own"),
    "--log-level": Flag(True, _log_level),
    "--access-log": _on("access_log", "-"),
    "--no-access-log": _nothing(),
    "--use-colors": _ignored("there are no colours", takes_value=False),
    "--no-use-colors": _nothing(),
    "--proxy-headers": _missing(PROXY_HEADERS, takes_value=False),
    "--no-proxy-headers": _nothing(),
    "--forwarded-allow-ips": _missing(PROXY_HEADERS),
    "--server-header": _nothing(),
    "--no-server-header": _on("no_server_header"),
    "--date-header": _nothing(),
    "--no-date-header": _on("no_date_header"),
    "--header": _missing("headers of all responses are the application's, or the proxy's"),
    "--root-path": _same("root_path"),
    "--limit-concurrency": _near(
        "max_connections", "further connections wait in the backlog instead of getting 503", number=True
    ),
    "--backlog": _same("backlog", number=True),
    "--limit-max-requests": _same("max_requests", number=True),
    "--limit-max-requests-jitter": _same("max_requests_jitter", number=True),
    "--timeout-keep-alive": _same("keep_alive", number=True),
    "--timeout-graceful-shutdown": _same("graceful_timeout", number=True),
    "--timeout-worker-healthcheck": _ignored("the supervisor needs no answer to know that a worker lives"),
    "--ssl-keyfile": _missing(TLS),
    "--ssl-certfile": _missing(TLS),
    "--ssl-keyfile-password": _missing(TLS),
    "--ssl-version": _missing(TLS),
    "--ssl-cert-reqs": _missing(TLS),
    "--ssl-ca-certs": _missing(TLS),
    "--ssl-ciphers": _missing(TLS),
    "--app-dir": Flag(True, _app_dir),
    "--h11-max-incomplete-event-size": _near(
        "limit_request_head", "it bounds the header block; limit-request-line the line above it", number=True
    ),
    "--reset-contextvars": _ignored("each request has a context of its own", takes_value=False),
    "--no-reset-contextvars": _nothing(),
    "--factory": _on("factory"),
    "--version": _nothing(),
}
"""What becomes of each flag."""
