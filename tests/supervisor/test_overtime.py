"""Requests that the application does not begin to answer in time: the log, the client, the application, the worker."""

from __future__ import annotations

import re
import time

import pytest
from raw_client import Connection, get
from shop import StartShop
from test_supervisor import body
from wsgi_site import Site, wait_until

WSGI = """
import ctypes, os, threading, time
import ironbridge
held = threading.Lock()
held.acquire()

def stuck_in_sleep():
    time.sleep(60)

def stuck_in_lock():
    held.acquire()

def stuck_in_c():
    # PyDLL keeps the interpreter's lock.
    ctypes.PyDLL(None).sleep(20)

def stuck_in_python():
    while True:
        try:
            sum(range(1000))
        except Exception:
            pass

def caught():
    try:
        while True:
            time.sleep(0.01)
    except ironbridge.RequestTimeout:
        print("cleaned up", flush=True)

def app(environ, start_response):
    call = globals().get(environ["PATH_INFO"][1:])
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [])
        def stream():
            for number in range(4):
                yield b"part "
                time.sleep(0.4)
        return stream()
    if call:
        call()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""

ASGI = """
import asyncio, os, time

async def stuck_in_await():
    await asyncio.sleep(60)

async def stuck_in_code():
    time.sleep(9)

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(1)
        await send({"type": "websocket.send", "text": "late"})
        return
    call = globals().get(scope["path"][1:])
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200})
        for number in range(4):
            await send({"type": "http.response.body", "body": b"part ", "more_body": True})
            await asyncio.sleep(0.4)
        await send({"type": "http.response.body"})
        return
    if call:
        await call()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""

KINDS = pytest.mark.parametrize("code", [WSGI, ASGI], ids=["wsgi", "asgi"])
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def ask(site: Site, target: str) -> Connection:
    connection = site.connect()
    connection.send(get(target))
    return connection


def times_out(connection: Connection, begun: float) -> None:
    response = connection.response()
    assert (response.status, response.body) == (504, b"504 Gateway Timeout\n")
    assert time.monotonic() - begun < 2.5


def served_until(site: Site, regex: str, seconds: float) -> None:
    """Asks without a pause until the log says something; every answer comes soon."""
    deadline = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        assert body(site)
        assert time.monotonic() - begun < 2.0
        if re.search(regex, site.server.log()):
            return
        assert begun < deadline, f"no {regex}"
        time.sleep(0.05)


def test_a_thread_that_runs_python_is_recovered(start: StartShop) -> None:
    site = start(WSGI, "--request-timeout=0.5", "--threads=4")
    worker = site.server.workers()
    for _ in range(6):
        begun = time.monotonic()
        times_out(ask(site, "/stuck_in_python"), begun)
    site.server.wait_log(
        r"ERROR GET /stuck_in_python has timed out after 0\.\d s; it was here:\n[\s\S]*in stuck_in_python"
    )
    site.server.wait_log(r"GET /stuck_in_python raised an exception\n[\s\S]*RequestTimeout")
    # Six have hung, of four threads: all are free again.
    begun = time.monotonic()
    times_out(ask(site, "/caught"), begun)
    site.server.wait_output("cleaned up")
    assert all(body(site) for _ in range(20))
    assert site.server.workers() == worker


def test_the_worker_of_threads_that_cannot_be_recovered_is_replaced(start: StartShop) -> None:
    site = start(WSGI, "--request-timeout=0.5", "--graceful-timeout=2")
    worker = site.server.workers()[0]
    begun = time.monotonic()
    stuck = [ask(site, target) for target in ("/stuck_in_sleep", "/stuck_in_lock")]
    for connection in stuck:
        times_out(connection, begun)
    for name in ("stuck_in_sleep", "stuck_in_lock"):
        site.server.wait_log(rf"GET /{name} has timed out after 0\.\d s; it was here:\n[\s\S]*in {name}")
    served_until(site, "and RequestTimeout did not end it", 12)
    served_until(site, f"worker {worker} is to be replaced: a request is stuck", 2)
    wait_until(lambda: worker not in site.server.workers(), "it has ended")
    assert body(site)


def test_the_worker_whose_interpreter_native_code_holds_is_replaced(start: StartShop) -> None:
    site = start(WSGI, "--request-timeout=0.5", "--graceful-timeout=2", "--health-path=/health")
    begun = time.monotonic()
    times_out(ask(site, "/stuck_in_c"), begun)
    begun = time.monotonic()
    assert site.fetch(get("/health")).status == 200
    assert time.monotonic() - begun < 0.5
    site.server.wait_log(r"ERROR native code has held Python's interpreter for 5 s; busy: .*ironbridge-\d", 15)
    site.server.wait_log(r"worker \d+ is to be replaced: a request is stuck")
    wait_until(lambda: len(site.server.workers()) == 2, "another one starts")
    wait_until(lambda: len(site.server.workers()) == 1, "it has ended")
    assert body(site)


@LOOPS
def test_a_task_is_cancelled(start: StartShop, loop: str) -> None:
    site = start(ASGI, "--request-timeout=0.5", f"--loop={loop}")
    worker = site.server.workers()
    begun = time.monotonic()
    times_out(ask(site, "/stuck_in_await"), begun)
    site.server.wait_log(r"GET /stuck_in_await is cancelled; it waits here:\n[\s\S]*in stuck_in_await")
    assert body(site)
    assert site.server.workers() == worker


@LOOPS
def test_the_worker_of_a_task_that_does_not_end_is_replaced(start: StartShop, loop: str) -> None:
    site = start(ASGI, "--request-timeout=0.5", f"--loop={loop}", "--graceful-timeout=2")
    worker = site.server.workers()[0]
    begun = time.monotonic()
    times_out(ask(site, "/stubborn"), begun)
    served_until(site, "and cancelling its task did not end it", 12)
    served_until(site, f"worker {worker} is to be replaced: a request is stuck", 2)
    wait_until(lambda: worker not in site.server.workers(), "it has ended")


@LOOPS
def test_clients_of_a_blocked_loop_hear_of_it(start: StartShop, loop: str) -> None:
    site = start(ASGI, "--request-timeout=0.5", f"--loop={loop}", "--graceful-timeout=2")
    worker = site.server.workers()[0]
    begun = time.monotonic()
    times_out(ask(site, "/stuck_in_code"), begun)
    site.server.wait_log(r"the event loop has been blocked for 1 s[\s\S]*in stuck_in_code")
    site.server.wait_log(f"worker {worker} is to be replaced: a request is stuck", 15)
    wait_until(lambda: worker not in site.server.workers(), "it has ended")
    assert body(site)


@KINDS
def test_responses_that_have_begun_and_paths_of_their_own_take_longer(start: StartShop, code: str) -> None:
    name = "/stuck_in_sleep" if code is WSGI else "/stuck_in_await"
    site = start(code, "--request-timeout=0.5", f"--request-timeout-for={name}=1.2")
    begun = time.monotonic()
    slow = ask(site, name)
    assert site.fetch(get("/stream")).body == b"part " * 4
    times_out(slow, begun)
    assert time.monotonic() - begun > 1.2
    assert "GET /stream" not in site.server.log()


@KINDS
def test_a_warning_changes_nothing(start: StartShop, code: str) -> None:
    name = "caught" if code is WSGI else "stuck_in_await"
    site = start(code, "--request-warning=0.3", "--graceful-timeout=0.2", code_at_end=None)
    slow = ask(site, f"/{name}")
    site.server.wait_log(rf"WARN  GET /{name} has been running for 0\.\d s; it (?:is|waits) here:\n[\s\S]*in {name}")
    assert body(site)
    assert "timed out" not in site.server.log()
    slow.close()


def test_websockets_are_left_alone(start: StartShop) -> None:
    from ws_client import TEXT, WebSocket

    site = start(ASGI, "--request-timeout=0.3")
    assert WebSocket.open(site, "/").read()[:2] == (TEXT, b"late")
