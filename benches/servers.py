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
        interface: What its applications speak.
    """

    key: str
    label: str
    package: str
    threads: int
    command: Command
    note: str = ""
    interface: str = "wsgi"


def _ironbridge(threads: int) -> Command:
    def command(environment: Environment, app: str, port: int) -> list[str]:
        return [
            *(str(environment.bin / "ironbridge"), "--bind", f"127.0.0.1:{port}"),
            *("--threads", str(threads), app),
        ]

    return command


def _ironbridge_asgi(loop: str) -> Command:
    def command(environment: Environment, app: str, port: int) -> list[str]:
        return [str(environment.bin / "ironbridge"), "--bind", f"127.0.0.1:{port}", "--loop", loop, app]

    return command


def _granian_asgi(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "granian"), "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--http", "1", "--loop", "uvloop", "--log-level", "error", app),
    ]


def _uvicorn(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "uvicorn"), "--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
        *("--loop", "uvloop", "--http", "httptools", "--log-level", "error", app),
    ]


def _gunicorn_asgi(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "gunicorn"), "--worker-class", "asgi", "--workers", "1"),
        *("--bind", f"127.0.0.1:{port}", "--keep-alive", "75", "--log-level", "error", app),
    ]


def _hypercorn(environment: Environment, app: str, port: int) -> list[str]:
    return [
        *(str(environment.bin / "hypercorn"), "--bind", f"127.0.0.1:{port}", "--worker-class", "uvloop"),
        *("--keep-alive", "75", "--log-level", "ERROR", app),
    ]


def _daphne(environment: Environment, app: str, port: int) -> list[str]:
    return [str(environment.bin / "daphne"), "--bind", "127.0.0.1", "--port", str(port), "--verbosity", "0", app]


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
ASYNC_BASELINE = "ironbridge-asgi"

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
    Server("ironbridge-asgi", "Ironbridge, asyncio", "ironbridge", 1, _ironbridge_asgi("asyncio"), "", "asgi"),
    Server("ironbridge-uvloop", "Ironbridge, uvloop", "ironbridge", 1, _ironbridge_asgi("uvloop"), "", "asgi"),
    Server("granian-asgi", "Granian, ASGI", "granian", 1, _granian_asgi, "uvloop, --http 1", "asgi"),
    Server("uvicorn", "Uvicorn", "uvicorn", 1, _uvicorn, "uvloop and httptools", "asgi"),
    Server("gunicorn-asgi", "Gunicorn asgi", "gunicorn", 1, _gunicorn_asgi, "its own asgi worker", "asgi"),
    Server("hypercorn", "Hypercorn", "hypercorn", 1, _hypercorn, "uvloop", "asgi"),
    Server("daphne", "Daphne", "daphne", 1, _daphne, "", "asgi"),
    Server("freastal-asgi", "Freastal", "freastal", 1, _launch("freastal-asgi"), "", "asgi"),
)
