"""`ironbridge.serve()` and `ironbridge.Server`, and the signals of a served process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from serving import ServerProcess, environment

import ironbridge

from .conftest import WSGI, Project

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def get(url: str) -> bytes:
    with urlopen(url, timeout=20) as response:
        return bytes(response.read())


class Gate:
    """An application that holds its requests until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.entered.set()
        assert self.opened.wait(30)
        return application(environ, start_response)


def test_a_server_serves_in_the_background() -> None:
    with ironbridge.Server(application) as server:
        assert get(server.url + "/x") == b"/x"
        assert server.urls == [server.url]
        address = server.addresses[0]
        assert isinstance(address, tuple)
        host, port = address
        assert (host, server.url) == ("127.0.0.1", f"http://127.0.0.1:{port}")
        assert repr(server) == f"<ironbridge.Server at {server.url}>"


def test_after_the_block_nothing_listens() -> None:
    with ironbridge.Server(application) as server:
        address = server.addresses[0]
    assert isinstance(address, tuple)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_server_can_be_started_again() -> None:
    server = ironbridge.Server(application)
    for _ in range(3):
        with server:
            assert get(server.url + "/again") == b"/again"


def test_of_threads_that_start_one_server_one_does() -> None:
    server = ironbridge.Server(application)
    outcomes: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        try:
            server.start()
        except RuntimeError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("started")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["started", *["the server runs already"] * 7]
    assert get(server.url + "/x") == b"/x"
    server.stop()
    with pytest.raises(RuntimeError):
        _ = server.url


def test_several_servers_run_side_by_side() -> None:
    with (
        ironbridge.Server(application) as one,
        ironbridge.Server(lambda e, s: application({"PATH_INFO": "2"}, s)) as two,
    ):
        assert (get(one.url + "/1"), get(two.url)) == (b"/1", b"2")


def test_what_needs_a_running_server_says_so() -> None:
    server = ironbridge.Server(application)
    for name in ("url", "urls", "addresses"):
        with pytest.raises(RuntimeError, match="does not run"):
            getattr(server, name)
    server.stop()
    with server, pytest.raises(RuntimeError, match="runs already"):
        server.start()


def test_several_addresses(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with ironbridge.Server(application, bind=["127.0.0.1:0", f"unix:{path}"]) as server:
        assert server.addresses[1] == path
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(path)
            client.sendall(b"GET /unix HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with client.makefile("rb") as answer:
                assert answer.read().endswith(b"/unix")


def test_stop_waits_for_requests_in_flight() -> None:
    gate = Gate()
    answers: list[bytes] = []
    server = ironbridge.Server(gate)
    server.start()
    url = server.url
    client = threading.Thread(target=lambda: answers.append(get(url + "/late")))
    client.start()
    assert gate.entered.wait(20)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    gate.opened.set()
    stopper.join(30)
    client.join(30)
    assert answers == [b"/late"]


def test_an_address_in_use_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = ironbridge.Server(application, bind=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(OSError, match="in use"):
            server.start()


@pytest.mark.parametrize("function", [ironbridge.serve, ironbridge.Server])
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"thread": 4}, TypeError, r"\(thread=\.\.\.\): unknown option; did you mean threads\?"),
        ({"gracefull_timeout": None}, TypeError, "did you mean graceful_timeout"),
        ({"check": True}, TypeError, "unknown option"),
        (
            {"threads": 0},
            ValueError,
            r"\(threads=\.\.\.\): invalid value \"0\": expected a whole number from 1 to 4096",
        ),
        ({"threads": True}, TypeError, "expected a string or a number, not bool"),
        ({"log_level": "loud"}, ValueError, "expected one of trace, debug"),
    ],
)
def test_mistakes_in_options(
    function: Callable[..., Any], options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        function(application, **options)


@pytest.mark.parametrize(
    ("app", "kind", "message"),
    [
        (3, TypeError, "3 is not an application: an object of type int cannot be called"),
        ("nowhere:app", ModuleNotFoundError, "No module named 'nowhere'"),
        ("my-site", ValueError, "not a Python name"),
        ("json:nope", TypeError, 'has no attribute "nope"'),
    ],
)
def test_mistakes_in_the_application(app: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ironbridge.Server(app)


def test_a_factory_is_called() -> None:
    with ironbridge.Server(lambda: application, factory=True) as server:
        assert get(server.url + "/made") == b"/made"


def script(project: Project, text: str) -> subprocess.Popen[str]:
    """Runs a Python program in the project's folder."""
    project.file("program.py", text)
    command = [sys.executable, "-u", "program.py"]
    env = environment()
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=project.path, env=env, stdout=pipe, stderr=pipe, text=True)


SERVE = """
import signal, ironbridge
def own(number, frame): pass
signal.signal(signal.SIGTERM, own)
ironbridge.serve("hello:app", bind="127.0.0.1:0")
print("returned", signal.getsignal(signal.SIGTERM) is own, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_returns_after_a_signal_and_restores_handlers(hello: Project, number: signal.Signals) -> None:
    process = script(hello, SERVE)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert get(line.split()[-1]) == b"served"
    process.send_signal(number)
    output, log = process.communicate(timeout=40)
    assert (process.returncode, output) == (0, "returned True True\n"), log


def test_serve_outside_the_main_thread_leaves_signals_alone(hello: Project) -> None:
    process = script(
        hello,
        "import ironbridge, threading\n"
        "thread = threading.Thread(target=ironbridge.serve, args=['hello:app'], kwargs={'bind': '127.0.0.1:0'},"
        " daemon=True)\nthread.start()\n"
        "try:\n    thread.join()\nexcept KeyboardInterrupt:\n    print('interrupted')\n",
    )
    assert process.stderr is not None
    assert get(process.stderr.readline().split()[-1]) == b"served"
    # Python itself does not always wake its main thread: the standard library's own server in a thread loses as many.
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            break
    output, log = process.communicate(timeout=40)
    assert (process.returncode, output) == (0, "interrupted\n"), log


def test_a_program_that_forgets_to_stop_its_server_ends(hello: Project) -> None:
    process = script(
        hello, "import ironbridge, hello\nserver = ironbridge.Server(hello.app)\nserver.start()\nprint(server.url)\n"
    )
    output, log = process.communicate(timeout=40)
    assert process.returncode == 0, log
    assert output.startswith("http://127.0.0.1:")


BLOCKING = """
import sys, time
def app(environ, start_response):
    print("entered", file=sys.stderr)
    time.sleep(300)
"""


def begin(server: ServerProcess) -> socket.socket:
    """Sends a request and waits until the application has it."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_log("entered")
    return client


def test_a_second_interrupt_ends_at_once(project: Project) -> None:
    project.write(slow="import atexit\natexit.register(print, 'at exit')\n" + BLOCKING)
    server = ServerProcess.start("slow:app", cwd=project.path)
    with begin(server):
        server.signal(signal.SIGINT)
        server.wait_log("press Ctrl-C again")
        server.signal(signal.SIGINT)
        assert server.wait(15) == 0
    assert server.output() == "at exit\n"


def test_a_second_sigterm_changes_nothing(project: Project) -> None:
    project.write(gated=GATED)
    server = ServerProcess.start("gated:app", cwd=project.path)
    with begin(server) as client:
        server.signal(signal.SIGTERM)
        server.wait_log("finishing requests")
        server.signal(signal.SIGTERM)
        (project.path / "open").touch()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.wait() == 0


def test_a_second_sigterm_while_the_process_ends_changes_nothing(project: Project) -> None:
    project.write(slow=SLOW_TO_END)
    server = ServerProcess.start("slow:app", cwd=project.path)
    server.signal(signal.SIGTERM)
    server.wait_log("at exit")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "ended" in server.log()


SLOW_TO_END = """
import atexit, sys, time
def end():
    print("at exit", file=sys.stderr, flush=True)
    time.sleep(0.5)
    print("ended", file=sys.stderr, flush=True)
atexit.register(end)
def app(environ, start_response):
    start_response("200 OK", [])
    return []
"""


GATED = """
import pathlib, sys, time
def app(environ, start_response):
    print("entered", file=sys.stderr)
    while not pathlib.Path("open").exists():
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"done"]
"""


def test_the_grace_period_ends(project: Project) -> None:
    server = ServerProcess.start("slow:app", "--graceful-timeout=0.2", cwd=project.write(slow=BLOCKING).path)
    with begin(server):
        assert server.stop(timeout=15) == 0
    assert "still run application code" in server.log()


def test_work_behind_a_response_has_the_grace_period(project: Project) -> None:
    project.write(
        closing="""
import pathlib
class Body:
    def __iter__(self):
        yield b"x"
    def close(self):
        with open("gate"):
            pathlib.Path("done").touch()
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "1")])
    return Body()
"""
    )
    gate = project.path / "gate"
    os.mkfifo(gate)
    server = ServerProcess.start("closing:app", cwd=project.path)
    assert get(server.url) == b"x"
    server.signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(2.5)
    with gate.open("w"):
        assert server.wait(15) == 0
    assert (project.path / "done").exists()


def test_a_forked_child_dies_of_sigterm_and_the_server_lives(project: Project) -> None:
    project.write(
        forking="""
import os, signal, time
def app(environ, start_response):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    start_response("200 OK", [])
    return [str(os.waitstatus_to_exitcode(status)).encode()]
"""
    )
    with ServerProcess.start("forking:app", cwd=project.path) as server:
        assert get(server.url) == b"-15"
        assert get(server.url) == b"-15"
    assert server.log().count("finishing requests") == 1


def test_python_m_runs_the_command_line(hello: Project) -> None:
    command = [sys.executable, "-m", "ironbridge", "--check", "hello:app"]
    done = subprocess.run(command, cwd=hello.path, env=environment(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.startswith("ok: ")) == (0, True), done.stderr


def test_the_application_may_be_a_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_application.py").write_text(WSGI)
    monkeypatch.syspath_prepend(tmp_path)
    with ironbridge.Server("named_application:app") as server:
        assert get(server.url) == b"served"
