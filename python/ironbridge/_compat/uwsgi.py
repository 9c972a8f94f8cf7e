"""uWSGI's .ini files and command line for `ironbridge migrate`."""

from __future__ import annotations

import re

from .errors import ConfigurationError
from .toml import Migration
from .uwsgi_ini import Pair, read_ini
from .uwsgi_options import BEGINNINGS, OPTIONS, Becomes


def uwsgi_file(location: str) -> Migration:
    """An .ini file."""
    return _migration(read_ini(location), location)


def uwsgi_command(words: list[str]) -> Migration:
    """A command line, with the .ini files that it names."""
    pairs: list[Pair] = []
    files: list[str] = []
    for name, value in _parse(words):
        if name == "ini":
            files.append(value)
            pairs += read_ini(value)
        else:
            pairs.append((name, value))
    return _migration(pairs, " and ".join(["a command line of uwsgi", *files]))


def _parse(words: list[str]) -> list[Pair]:
    found: list[Pair] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if not word.startswith("-"):
            found.append(_without_name(word))
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            name, value = name[0], name[1:]
        name = SHORT.get(name, name)
        if not value and not equals:
            # Of options that are not known here, what follows tells whether they take a value.
            takes = name not in FLAGS and bool(rest) and not rest[-1].startswith("-")
            value = rest.pop() if takes else "true"
        found.append((name, value))
    return found


def _without_name(word: str) -> Pair:
    """What uWSGI makes of an argument: a file by its ending, or an address."""
    if word.endswith(".py"):
        return "wsgi-file", word
    if ".ini" in word:
        return "ini", word
    if re.fullmatch(r"[\w.-]*:\d+", word):
        return "socket", word
    raise ConfigurationError(f"command line of uwsgi: {word}: expected an .ini file")


def _migration(pairs: list[Pair], source: str) -> Migration:
    migration = Migration(source)
    variables = {name[1:] for name, _ in pairs if name.startswith("%")}
    pairs = [(name.removeprefix("%"), value) for name, value in pairs if not _is_off(name, value)]
    given = {_canonical(name) for name, _ in pairs}
    for name, value in pairs:
        option = _canonical(name)
        if option in ANYWAY:
            continue
        becomes = OPTIONS.get(option) or _by_beginning(option)
        if becomes is not None:
            becomes(migration, name, value)
        elif name not in variables:
            migration.missing(name, "not known; look for it in docs/options.md")
    _application(migration, pairs)
    _logs(migration, given)
    _defaults(migration, given)
    return migration


def _is_off(name: str, value: str) -> bool:
    return value.lower() in ("false", "0", "no") and _canonical(name.removeprefix("%")) in FLAGS


def _canonical(name: str) -> str:
    name = name.replace("_", "-")
    return ALIASES.get(name, name)


def _by_beginning(option: str) -> Becomes | None:
    return next((becomes for beginning, becomes in BEGINNINGS.items() if option.startswith(beginning)), None)


def _application(migration: Migration, pairs: list[Pair]) -> None:
    """Module or file, and callable; or the one mount."""
    given = {_canonical(name): value for name, value in pairs}
    attribute = given.get("callable", "application")
    mounts = [value for name, value in pairs if _canonical(name) == "mount"]
    app = given.get("module") or given.get("wsgi-file")
    if app is None and len(mounts) == 1:
        path, _, app = mounts[0].partition("=")
        migration.set("root_path", path.rstrip("/"))
    elif len(mounts) > 1:
        migration.missing("mount", "one server serves one application; compose them with a dispatcher in Python")
    if app:
        migration.set("app", app if ":" in app else f"{app}:{attribute}")


def _logs(migration: Migration, given: set[str]) -> None:
    """Unless it is told not to, uWSGI writes a line for each request to its log."""
    if "disable-logging" in given:
        migration.drop("access_log")
    elif migration.value("access_log") is None:
        migration.set("access_log", migration.value("log_file") or "-", "uwsgi writes one unless disable-logging")


def _defaults(migration: Migration, given: set[str]) -> None:
    """What uWSGI does where nothing is said."""
    if not {"threads", "gevent"} & given:
        migration.by_hand("threads", "uWSGI has one; threads = 1 keeps that, for applications that need it")
    if not {"lazy-apps", "lazy"} & given:
        migration.by_hand("lazy-apps", "uWSGI imports the application before it forks; preload = true does that here")
    if migration.value("umask") is None and migration.value("unix_socket_mode") is None:
        sockets = migration.value("bind")
        if isinstance(sockets, list) and any(item.startswith("unix:") for item in sockets):
            migration.by_hand("socket", "unix sockets are made with mode 660; see unix-socket-mode, unix-socket-group")


ALIASES = {
    "workers": "processes",
    "wsgi": "module",
    "file": "wsgi-file",
    "uwsgi-socket": "socket",
    "http11-socket": "http-socket",
    "python-path": "pythonpath",
    "pp": "pythonpath",
    "virtualenv": "home",
    "venv": "home",
    "pyhome": "home",
    "chmod": "chmod-socket",
    "chown": "chown-socket",
    "logto2": "logto",
    "log": "logto",
    "py-autoreload": "python-autoreload",
    "max-requests-jitter": "max-requests-delta",
    "gevent-monkey-patch": "gevent-early-monkey-patch",
    "log-master": "logs",
    "plugin": "plugins",
    "procname-prefix": "procname",
    "procname-prefix-spaced": "procname",
    "attach-daemon2": "attach-daemon",
    "smart-attach-daemon": "attach-daemon",
    "legacy-cron": "cron",
    "unique-cron": "cron",
    "mules": "mule",
    "stats-server": "stats",
    "inherit": "include",
    "https-socket": "https",
}
SHORT = {
    "s": "socket",
    "w": "module",
    "p": "processes",
    "M": "master",
    "H": "home",
    "l": "listen",
    "T": "enable-threads",
    "L": "disable-logging",
    "C": "chmod-socket",
    "d": "daemonize",
    "i": "single-interpreter",
    "t": "harakiri",
    "R": "max-requests",
    "b": "buffer-size",
    "m": "memory-report",
    "z": "socket-timeout",
}
"""Options of one letter."""

ANYWAY = frozenset(
    (
        "master",
        "vacuum",
        "die-on-term",
        "need-app",
        "single-interpreter",
        "enable-threads",
        "thunder-lock",
        "strict",
        "lazy-apps",
        "lazy",
        "no-orphans",
        "auto-procname",
        "py-call-osafterfork",
        "py-call-uwsgi-fork-hooks",
        "http-auto-chunked",
        "http-chunked-input",
        "http-raw-body",
        "ignore-sigpipe",
        "ignore-write-errors",
        "disable-write-exception",
        "manage-script-name",
        "so-keepalive",
        "reuse-port",
        "endif",
        "plugins",
        "protocol",
    )
)
"""What is so here without an option, and what says nothing to us."""

FLAGS = frozenset(
    (
        *ANYWAY - {"plugins", "protocol"},
        "disable-logging",
        "memory-report",
        "cheap",
        "log-5xx",
        "log-4xx",
        "log-x-forwarded-for",
        "gevent-early-monkey-patch",
        "http-keepalive",
        "logdate",
        "logs",
    )
)
"""Options that take no value on the command line."""
