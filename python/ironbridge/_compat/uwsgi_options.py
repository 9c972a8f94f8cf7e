"""uWSGI's options as options of ours (uwsgi-docs, "Options")."""

from __future__ import annotations

from collections.abc import Callable

from .errors import ConfigurationError
from .setting import Value
from .settings_protocols import TLS
from .toml import Migration

Becomes = Callable[[Migration, str, str], None]
"""What becomes of an option: it is given the option's name as written, and its value."""


def _same(option: str) -> Becomes:
    return lambda migration, name, value: migration.set(option, value)


def _whole(option: str, unit: str = "") -> Becomes:
    def becomes(migration: Migration, name: str, value: str) -> None:
        if not value.isdigit():
            raise ConfigurationError(f"{migration.source}: {name}: invalid value {value!r}: expected a whole number")
        migration.set(option, f"{value}{unit}" if unit else int(value))

    return becomes


def _near(becomes: Becomes, why: str) -> Becomes:
    def nearly(migration: Migration, name: str, value: str) -> None:
        becomes(migration, name, value)
        migration.approximate(name, why)

    return nearly


def _on(option: str, on: Value = True) -> Becomes:
    return lambda migration, name, value: migration.set(option, on)


def _nothing(migration: Migration, name: str, value: str) -> None:
    """Seen to elsewhere."""


def _ignored(why: str) -> Becomes:
    return lambda migration, name, value: migration.ignored(name, why)


def _missing(why: str) -> Becomes:
    return lambda migration, name, value: migration.missing(name, why)


def _by_hand(why: str) -> Becomes:
    return lambda migration, name, value: migration.by_hand(name, why.format(value=value))


def _address(value: str) -> str:
    """UWSGI's address: with a colon it is host and port, without it a path."""
    address = value.partition(",")[0]
    return address if ":" in address else f"unix:{address}"


def _http(migration: Migration, name: str, value: str) -> None:
    migration.set("bind", [_address(value)])


def _uwsgi(migration: Migration, name: str, value: str) -> None:
    address = _address(value)
    migration.set("bind", [address])
    upstream = f"http://{address}" if address.startswith("unix:") else f"http://{address.removeprefix('http://')}"
    migration.by_hand(name, f"HTTP is spoken there, not uwsgi: in nginx, proxy_pass {upstream} for uwsgi_pass")


def _chmod(migration: Migration, name: str, value: str) -> None:
    migration.set("unix_socket_mode", "666" if value == "true" else value)


def _chown(migration: Migration, name: str, value: str) -> None:
    group = value.partition(":")[2]
    if group:
        migration.set("unix_socket_group", group)
    migration.approximate(name, "the socket belongs to the user that starts the server, and to this group")


def _buffer_size(migration: Migration, name: str, value: str) -> None:
    if value.isdigit() and int(value) > DEFAULT_HEAD:
        migration.set("limit_request_head", int(value))
    else:
        migration.ignored(name, "64 KiB of headers are taken anyway (limit-request-head)")


def _post_buffering(migration: Migration, name: str, value: str) -> None:
    migration.set("request_buffering", "full")
    if value.isdigit() and int(value) > 1:
        migration.set("request_buffer", int(value))


def _keep_alive(migration: Migration, name: str, value: str) -> None:
    if value.isdigit() and int(value) > 1:
        migration.set("keep_alive", int(value))


def _environment(migration: Migration, name: str, value: str) -> None:
    migration.by_hand(name, f"write this line to a file, and name it as env-file: {value}")


def _path(migration: Migration, name: str, value: str) -> None:
    migration.set("pythonpath", [value])


def _logger(option: str) -> Becomes:
    def becomes(migration: Migration, name: str, value: str) -> None:
        # The destination may have a name before it: "req file:/var/log/requests.log".
        kind, _, path = value.rpartition(" ")[2].partition(":")
        if kind == "file" and path:
            migration.set(option, path)
        elif kind == "stdio":
            migration.set(option, "-")
        else:
            migration.missing(name, "logs go to files and to the standard streams")

    return becomes


DEFAULT_HEAD = 65_536
STATIC = "static files are not served: let nginx do it, or WhiteNoise in the application"
BESIDE = "run it as a service of its own"
SLOW = "slow clients are bounded by header-timeout, body-timeout and write-timeout"
SIGNALS = "send SIGHUP, or `systemctl reload`, to reload"
INCLUDED = "it is not followed; translate that file as well"

OPTIONS: dict[str, Becomes] = {
    "http": _http,
    "http-socket": _http,
    "socket": _uwsgi,
    "https": _missing(TLS),
    "module": _nothing,
    "wsgi-file": _nothing,
    "callable": _nothing,
    "mount": _nothing,
    "paste": _missing("make a module that calls paste.deploy.loadapp(), and name it"),
    "chdir": _same("chdir"),
    "chdir2": _same("chdir"),
    "pythonpath": _path,
    "home": _by_hand("install ironbridge there, and start {value}/bin/ironbridge"),
    "processes": _whole("workers"),
    "threads": _whole("threads"),
    "gevent": _near(_whole("threads"), "requests run in threads; the application is not monkey-patched"),
    "gevent-early-monkey-patch": _ignored("requests run in threads; the application is not monkey-patched"),
    "asyncio": _missing("an ASGI application has an event loop here; a WSGI application has threads"),
    "async": _missing("requests run in threads"),
    "listen": _whole("backlog"),
    "max-requests": _whole("max_requests"),
    "max-requests-delta": _near(_whole("max_requests_jitter"), "each worker chooses by chance"),
    "max-worker-lifetime": _whole("max_lifetime"),
    "max-worker-lifetime-delta": _near(_whole("max_lifetime_jitter"), "each worker chooses by chance"),
    "min-worker-lifetime": _ignored("replacements that die young are started ever more slowly"),
    "reload-on-rss": _whole("max_memory", "M"),
    "evil-reload-on-rss": _whole("max_memory_hard", "M"),
    "reload-on-as": _missing("only resident memory has a limit: max-memory"),
    "harakiri": _near(
        _whole("request_timeout"), "the client gets 504 and RequestTimeout is raised; a worker ends only if it is stuck"
    ),
    "worker-reload-mercy": _whole("graceful_timeout"),
    "reload-mercy": _whole("graceful_timeout"),
    "limit-post": _whole("limit_request_body"),
    "buffer-size": _buffer_size,
    "post-buffering": _near(_post_buffering, "larger bodies are collected in a temporary file first"),
    "post-buffering-bufsize": _ignored("request-buffer is all the memory that a body takes"),
    "http-keepalive": _keep_alive,
    "http-timeout": _ignored(SLOW),
    "http-connect-timeout": _ignored(SLOW),
    "http-headers-timeout": _whole("header_timeout"),
    "socket-timeout": _ignored(SLOW),
    "http-socket-timeout": _ignored(SLOW),
    "uid": _same("user"),
    "gid": _same("group"),
    "umask": _same("umask"),
    "chmod-socket": _chmod,
    "chown-socket": _chown,
    "pidfile": _same("pid_file"),
    "pidfile2": _same("pid_file"),
    "safe-pidfile": _same("pid_file"),
    "procname": _same("name"),
    "procname-master": _ignored("the server names its processes by their role"),
    "procname-append": _ignored("the server names its processes by their role"),
    "env": _environment,
    "disable-logging": _nothing,
    "logto": _same("log_file"),
    "logger": _logger("log_file"),
    "req-logger": _logger("access_log"),
    "daemonize": _near(_same("log_file"), "it stays in the foreground: run it under systemd"),
    "logs": _ignored("workers write the log themselves"),
    "log-format": _missing("access-log-format has other names for the same facts"),
    "log-date": _ignored("lines of the log have their time"),
    "logdate": _ignored("lines of the log have their time"),
    "log-x-forwarded-for": _missing('access-log-format can show it: "%({x-forwarded-for}i)s"'),
    "log-maxsize": _missing("rotate logs with logrotate, and send SIGUSR1"),
    "memory-report": _ignored("see max-memory, and `ps`"),
    "python-autoreload": _on("reload"),
    "touch-reload": _by_hand(SIGNALS),
    "touch-chain-reload": _by_hand(f"{SIGNALS}; reload-strategy = rolling replaces one worker after the other"),
    "master-fifo": _by_hand(SIGNALS),
    "stats": _missing("there are no statistics; health-path answers whether the server is well"),
    "stats-http": _missing("there are no statistics; health-path answers whether the server is well"),
    "cheap": _ignored("workers are started at once"),
    "idle": _ignored("workers are kept"),
    "offload-threads": _ignored("files are sent by the kernel, and no thread waits for a client"),
    "attach-daemon": _missing(BESIDE),
    "cron": _missing(BESIDE),
    "mule": _missing(BESIDE),
    "import": _missing("import it in the application's module"),
    "include": _missing(INCLUDED),
    "ini": _missing(INCLUDED),
    "check-static": _missing(STATIC),
    "mime-file": _missing(STATIC),
    "add-header": _missing("headers of all responses are the application's, or the proxy's"),
    "emperor": _missing("one server serves one application: make a systemd unit for each"),
    "enable-proxy-protocol": _missing("the PROXY protocol is not understood"),
}
"""What becomes of each option."""

BEGINNINGS: dict[str, Becomes] = {
    "static-": _missing(STATIC),
    "cheaper": _ignored("the number of workers is fixed; threads start and end as they are needed"),
    "spooler": _missing(BESIDE),
    "route": _missing("requests are not rewritten: let nginx do it, or the application"),
    "log-": _ignored("the access log has a line for each request"),
    "cache2": _missing("there is no cache that workers share"),
    "for": _missing("loops are not followed"),
    "hook": _missing("commands at start and stop belong into the systemd unit"),
    "exec-": _missing("commands at start and stop belong into the systemd unit"),
    "ssl": _missing(TLS),
    "plugins-": _ignored("there are no plugins"),
    "if-": _missing("conditions are not followed: what they guard was translated as if they held"),
}
"""The same for families of options."""
