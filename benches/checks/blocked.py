"""All threads blocked in the application: what needs no Python must go on."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable

from benches.checks.sockets import unread
from benches.checks.subject import Answer, ask, connect, ironbridge
from benches.environment import Environment
from benches.process import ServerProcess
from benches.rows import get, post
from benches.verdict import Verdicts

_THREADS = 64
_QUEUE = 100
_BOUND_MS = 10.0
_TWO_HOSTS = b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n"


def run(environment: Environment, quick: bool) -> Verdicts:
    """Blocks 64 threads in `time.sleep(30)` and looks what still happens."""
    verdicts = Verdicts()
    tries = 20 if quick else 100
    options = ("--health-path", "/-/health", "--queue-size", str(_QUEUE), "--queue-timeout", "60")
    with ironbridge(environment, *options) as server, contextlib.ExitStack() as stack:
        for _ in range(_THREADS):
            stack.enter_context(connect(server)).sendall(get("/sleep/30000"))
        _await_blocked(server, stack)
        _timed(verdicts, "a static 400", 400, tries, lambda: ask(server, _TWO_HOSTS))
        _timed(verdicts, "the health answer", 200, tries, lambda: ask(server, get("/-/health")))
        _reading(verdicts, server, stack, tries=min(tries, 50))
        _full_queue(verdicts, server, stack)
    return verdicts


def _await_blocked(server: ServerProcess, stack: contextlib.ExitStack) -> None:
    """Returns when a request gets no answer any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        client = stack.enter_context(connect(server, patience=0.5))
        client.sendall(get("/plaintext"))
        try:
            client.recv(65536)
        except TimeoutError:
            return
    raise RuntimeError("the server's threads did not get blocked")


def _timed(verdicts: Verdicts, what: str, status: int, tries: int, act: Callable[[], Answer]) -> None:
    try:
        answers = [act() for _ in range(tries)]
    except TimeoutError:
        verdicts.holds(what, False, "no answer within 5 s")
        return
    wrong = next((answer.status for answer in answers if answer.status != status), None)
    verdicts.holds(f"{what} has status {status}", wrong is None, f"got {wrong}" if wrong is not None else "")
    times = sorted(answer.seconds * 1000 for answer in answers)
    verdicts.figure(f"{what}, median", f"{times[len(times) // 2]:.2f} ms")
    verdicts.at_most(f"{what}, slowest of {tries}", times[-1], _BOUND_MS, "ms")


def _reading(verdicts: Verdicts, server: ServerProcess, stack: contextlib.ExitStack, tries: int) -> None:
    """New requests are read off their sockets, bodies included."""
    times = []
    for _ in range(tries):
        client = stack.enter_context(connect(server))
        begun = time.perf_counter()
        client.sendall(post("/echo", b"x" * 32_768))
        while unread(client) and time.perf_counter() - begun < 2:
            pass
        times.append((time.perf_counter() - begun) * 1000)
    verdicts.figure("reading a new request of 32 KB, median", f"{statistics.median(times):.2f} ms")
    verdicts.at_most(f"reading a new request of 32 KB, slowest of {tries}", max(times), _BOUND_MS, "ms")


def _full_queue(verdicts: Verdicts, server: ServerProcess, stack: contextlib.ExitStack) -> None:
    """Requests beyond the queue's bound are told so."""
    for _ in range(_QUEUE):
        stack.enter_context(connect(server)).sendall(get("/plaintext"))
    try:
        answers = [ask(server, get("/plaintext")) for _ in range(20)]
    except TimeoutError:
        verdicts.holds("a full queue gives 503", False, "no answer within 5 s")
        return
    verdicts.holds("a full queue gives 503", all(answer.status == 503 for answer in answers))
    verdicts.holds("with Retry-After", all(b"retry-after:" in answer.head.lower() for answer in answers))
    verdicts.at_most("slowest 503 of 20", max(answer.seconds for answer in answers) * 1000, _BOUND_MS, "ms")
