"""Fixtures for tests over real sockets. Servers are shared where their options allow it; keys keep tests apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).with_name("wsgi")))
sys.path.insert(0, str(Path(__file__).with_name("asgi")))
sys.path.insert(0, str(Path(__file__).with_name("supervisor")))

import apps
from frameworks import FRAMEWORKS, start
from serving import ServerProcess
from shop import StartShop, write
from wsgi_site import APPS_FOLDER, NamedPipe, Site

TEST_SECONDS = 60
Serve = Callable[..., Site]
ASGI_FOLDER = Path(__file__).with_name("asgi")
ASGI_ENVIRONMENT = {"PYTHONPATH": str(APPS_FOLDER)}
"""For `events`."""
_running: dict[ServerProcess, int] = {}
"""Servers that run now, and the length that their logs had when the current test began."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "uses(name, plain_only=''): the WSGI application that a test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs tests that take `site` unwrapped and under wsgiref's validator, unless their application forbids it."""
    if "site" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("uses")
    assert mark is not None, f"{metafunc.function.__name__} names no application"
    wrappings = ["plain"]
    if not mark.kwargs.get("plain_only") and mark.args[0] not in apps.BREAKS_PEP_3333:
        wrappings.append("validated")
    metafunc.parametrize("site", wrappings, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Shows what the servers logged during a test that fails."""
    if call.when == "setup":
        for server in _running:
            _running[server] = 0 if call.excinfo else len(server.log())
    report = yield
    if report.failed:
        report.sections += [
            (f"log of the server (pid {server.pid})", server.log()[start:]) for server, start in _running.items()
        ]
    return report


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The shared server, the application that the test's `uses` names, and a key for this test."""
    mark = request.node.get_closest_marker("uses")
    assert mark.args[0] in apps.APPLICATIONS, f"there is no application {mark.args[0]}"
    found = Site(request.getfixturevalue(f"{request.param}_server"), mark.args[0])
    yield found
    found.close()


@pytest.fixture
def http_site(plain_server: ServerProcess) -> Iterator[Site]:
    """The shared server, for tests of HTTP itself."""
    found = Site(plain_server)
    yield found
    found.close()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[NamedPipe]:
    """A named pipe that holds an application until the test, or its end, releases it."""
    found = NamedPipe(tmp_path / "pipe")
    yield found
    found.release()


@pytest.fixture(scope="session")
def plain_server() -> Iterator[ServerProcess]:
    """A server with default options that runs the applications as they are."""
    yield from _session_server("apps:application")


@pytest.fixture(scope="session")
def validated_server() -> Iterator[ServerProcess]:
    """A server with default options that runs the applications under wsgiref's validator."""
    for server in _session_server("apps:validated"):
        yield server
        assert "garbage collected without being closed" not in server.log()


@pytest.fixture(scope="session", params=["asyncio", "uvloop"])
def asgi_server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server with default options that runs the ASGI applications, on one kind of loop and on the other."""
    loop = f"--loop={request.param}"
    with ExitStack() as stack:
        server = ServerProcess.start("asgi_apps:application", loop, cwd=ASGI_FOLDER, env=ASGI_ENVIRONMENT)
        _enter(stack, server)
        yield server


@pytest.fixture
def asgi_site(asgi_server: ServerProcess) -> Iterator[Site]:
    """The shared ASGI server, and a key for this test."""
    found = Site(asgi_server)
    yield found
    found.close()


class ServeAsgi:
    """Starts ASGI servers with options of their own. Each must end with exit code 0.

    Args:
        stack: Ends them.
        folder: Where applications are written that a test brings along as `code`, with `app` in it.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def __call__(self, *options: str, code: str | None = None) -> Site:
        app, folder = self._application(code)
        server = ServerProcess.start(app, *options, cwd=folder, env=ASGI_ENVIRONMENT)
        _enter(self._stack, server)
        site = Site(server)
        self._stack.callback(site.close)
        return site

    def failing(self, *options: str, code: str) -> ServerProcess:
        """Starts one that is not to come up."""
        app, folder = self._application(code)
        server = ServerProcess(["--bind=127.0.0.1:0", *options, app], ASGI_ENVIRONMENT, folder)
        self._stack.callback(server.kill)
        return server

    def _application(self, code: str | None) -> tuple[str, Path]:
        if code is None:
            return "asgi_apps:application", ASGI_FOLDER
        (self._folder / "brought.py").write_text(code)
        return "brought:app", self._folder


@pytest.fixture
def serve_asgi(tmp_path: Path) -> Iterator[ServeAsgi]:
    """Starts ASGI servers, see `ServeAsgi`."""
    with ExitStack() as stack:
        yield ServeAsgi(stack, tmp_path)


@pytest.fixture(scope="module")
def serve_framework(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ServerProcess]]:
    """Starts a framework's site: `serve_framework("quart", "--loop=uvloop")`; the same one again for the same options."""
    running: dict[tuple[str, ...], ServerProcess] = {}
    with ExitStack() as stack:

        def serve(name: str, *options: str) -> ServerProcess:
            if (name, *options) not in running:
                server = start(FRAMEWORKS[name], *options, folder=tmp_path_factory.mktemp(name))
                _enter(stack, server)
                running[(name, *options)] = server
            return running[(name, *options)]

        yield serve


@pytest.fixture(scope="module")
def serve_module() -> Iterator[Serve]:
    """As `serve`, for servers that live as long as the tests of a file."""
    with ExitStack() as stack:
        yield _starter(stack)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with options of their own: `serve("--threads=1")`. Each must end with exit code 0."""
    with ExitStack() as stack:
        yield _starter(stack)


@pytest.fixture(name="start")
def start_shop(tmp_path: Path) -> Iterator[StartShop]:
    """Starts servers of code that a test brings along: `start(WSGI, "--workers=2")`. It is `shop.py` in the test's folder.

    Each server must end with exit code 0, or with `code_at_end`; None: with any.
    """
    with ExitStack() as stack:

        def start(code: str, *options: str, code_at_end: int | None = 0, **settings: str) -> Site:
            write(tmp_path, code)
            server = ServerProcess.start("shop:app", *options, cwd=tmp_path, env=settings)
            _running[server] = 0
            stack.callback(_running.pop, server)
            stack.callback(server.stop, code_at_end)
            site = Site(server)
            stack.callback(site.close)
            return site

        yield start


def _starter(stack: ExitStack) -> Serve:
    def start(*options: str, **settings: Any) -> Site:
        server = ServerProcess.start("apps:application", *options, cwd=APPS_FOLDER, **settings)
        _enter(stack, server)
        site = Site(server)
        stack.callback(site.close)
        return site

    return start


def _session_server(app: str) -> Iterator[ServerProcess]:
    environment = {"CONFORMANCE_SECRET": "must not reach environ"}
    with ExitStack() as stack:
        server = ServerProcess.start(app, cwd=APPS_FOLDER, env=environment)
        _enter(stack, server)
        yield server


def _enter(stack: ExitStack, server: ServerProcess) -> None:
    stack.enter_context(server)
    _running[server] = 0
    stack.callback(_running.pop, server)
