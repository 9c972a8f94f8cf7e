"""How each server is started: one process, no access log, otherwise its own defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benches.environment import APPS, Environment

Command = Callable[[Environment, str, int], list[str]]


@dataclass(frozen=True)
class Server:
    """A server with the settings that it is measured with.

    Attributes:
        key: Its name in options and in JSON.
        label: Its name in tables.
        package: What has to be installed, lower case.
        threads: Python threads that run requests.
        command: Makes the command line for an application (`module:attribute`) and a port.
        note: What a reader must know to judge its figures.
    """

    key: str
    label: str
    package: str
    threads: int
    command: Command
    note: str = ""


def _ironbridge(threads: int) -> Command:
    def command(environment: Environment, app: str, port: int) -> list[str]:
        return [
            *(str(environment.bin / "ironbridge"), "--bind", f"127.0.0.1:{port}"),
            *("--threads", str(threads), app),
        ]

    return command


def _granian(threads: int) -> Command:
    def command(environment: Environment, app: str, port: int) -> list[str]:
        return [
            *(str(environment.bin / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "1", "--blocking-threads", str(threads), "--http", "1", "--no-ws"),
            *("--log-level", "error", app),
        ]

    return command


def _gunicorn(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "gunicorn"), "--worker-class", "gthread", "--workers", "1", "--threads", "64"),
        *("--bind", f"127.0.0.1:{port}", "--keep-alive", "75", "--log-level", "error", app),
    ]


def _waitress(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "waitress-serve"), "--threads", "64", "--listen", f"127.0.0.1:{port}"),
        # Its default of 100 connections would turn most of 256 away.
        *("--connection-limit", "1000", app),
    ]


def _uwsgi(socket: str) -> Command:
    def command(environment: Environment, app: str, port: int) -> list[str]:
        return [
            *(str(environment.bin / "uwsgi"), socket, f"127.0.0.1:{port}", "--processes", "1"),
            *("--threads", "64", "--listen", "1024", "--disable-logging", "--home", str(environment.bin.parent)),
            *("--module", app, "--die-on-term", "--need-app"),
        ]

    return command


def _launched(environment: Environment, app: str, port: int, module: str) -> list[str]:
    return [environment.python, str(APPS / "launch.py"), module, app, str(port)]


def _launch(module: str) -> Command:
    return lambda environment, app, port: _launched(environment, app, port, module)


BASELINE = "ironbridge"

SERVERS = (
    Server("ironbridge", "Ironbridge", "ironbridge", 64, _ironbridge(64)),
    Server("ironbridge-1", "Ironbridge, 1 thread", "ironbridge", 1, _ironbridge(1)),
    Server("granian-1", "Granian, 1 thread", "granian", 1, _granian(1), "--blocking-threads 1 --http 1 --no-ws"),
    Server("granian-64", "Granian, 64 threads", "granian", 64, _granian(64), "--blocking-threads 64 --http 1 --no-ws"),
    Server("gunicorn", "Gunicorn gthread", "gunicorn", 64, _gunicorn, "64 threads"),
    Server("waitress", "Waitress", "waitress", 64, _waitress, "64 threads"),
    Server("uwsgi", "uWSGI", "uwsgi", 64, _uwsgi("--http11-socket"), "64 threads; a connection keeps its thread"),
    # With keep-alive it does not obey "Connection: close" before its own time-out.
    Server("uwsgi-close", "uWSGI, no keep-alive", "uwsgi", 64, _uwsgi("--http-socket"), "64 threads, --http-socket"),
    Server("bjoern", "bjoern", "bjoern", 1, _launch("bjoern"), "one thread: a blocking view blocks all"),
    Server("fastpysgi", "FastPySGI", "fastpysgi", 1, _launch("fastpysgi"), "one thread: a blocking view blocks all"),
    Server("freastal", "Freastal", "freastal", 1, _launch("freastal"), "one thread; never calls close() of a response"),
)
