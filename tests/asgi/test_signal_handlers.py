"""Signals that an application has handlers for, by its event loop or by Python's signal module."""

from __future__ import annotations

import os
import signal
import time

import pytest
from conftest import ServeAsgi
from raw_client import get

APP = """
import asyncio
import os
import signal
import sys
import time


def say(text):
    print(text, flush=True)


def imported(number, frame):
    say(f"imported handler of {signal.Signals(number).name}")


signal.signal(signal.SIGUSR2, imported)
signal.signal(signal.SIGHUP, lambda number, frame: sys.exit(3))


async def app(scope, receive, send):
    loop = asyncio.get_running_loop()
    if scope["type"] == "lifespan":
        await receive()
        loop.add_signal_handler(signal.SIGUSR1, say, "from startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say(f"removed at shutdown: {loop.remove_signal_handler(signal.SIGUSR1)}")
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b"done"
    match scope["path"]:
        case "/sigterm":
            loop.add_signal_handler(signal.SIGTERM, say, "SIGTERM seen by the application")
        case "/remove":
            body = repr((loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))).encode()
        case "/task":
            came = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, came.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await came.wait()
            body = b"came"
        case "/hang":
            say("hanging")
            await asyncio.sleep(3600)
        case "/block":
            say("blocking")
            time.sleep(2)
        case "/mistakes":
            async def coroutine():
                pass

            body = b""
            for sig, callback in [(signal.SIGUSR1, coroutine), ("USR1", say), (12345, say), (signal.SIGKILL, say)]:
                try:
                    loop.add_signal_handler(sig, callback)
                except Exception as error:
                    body += f"{type(error).__name__}: {error}\\n".encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
"""

ALONE = "--no-supervisor"
"""The process that is sent signals is the one that serves."""
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@LOOPS
def test_the_loop_calls_handlers_that_were_set_at_the_start(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(ALONE, f"--loop={loop}", code=APP)
    site.server.signal(signal.SIGUSR1)
    site.server.wait_output("from startup")
    assert site.server.stop() == 0
    assert "removed at shutdown: True" in site.server.output()


@LOOPS
def test_a_handler_can_wake_a_task_and_be_replaced_and_removed(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", code=APP)
    assert site.fetch(get("/task")).body == b"came"
    assert site.fetch(get("/remove")).body == b"(True, False)"


@LOOPS
def test_sigterm_is_the_applications_and_the_servers(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", code=APP)
    assert site.fetch(get("/sigterm")).body == b"done"
    site.server.signal(signal.SIGTERM)
    assert site.server.wait() == 0
    assert "SIGTERM seen by the application" in site.server.output()


@LOOPS
def test_mistakes_raise_what_asyncio_raises(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", code=APP)
    assert site.fetch(get("/mistakes")).body.decode().splitlines() == [
        "TypeError: coroutines cannot be used with add_signal_handler()",
        "TypeError: sig must be an int, not 'USR1'",
        "ValueError: invalid signal number 12345",
        "RuntimeError: sig 9 cannot be caught",
    ]


def test_handlers_of_pythons_own_run_at_once_also_while_the_loop_is_blocked(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(ALONE, "--loop=asyncio", "--stall-warning=0", code=APP)
    blocked = site.connect()
    blocked.send(get("/block"))
    site.server.wait_output("blocking")
    site.server.signal(signal.SIGUSR2)
    site.server.wait_output("imported handler of SIGUSR2", 1.5)
    assert blocked.response().body == b"done"


def test_a_handler_that_exits_stops_the_server_in_good_order(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(ALONE, code=APP)
    assert site.fetch(get("/")).body == b"done"
    site.server.signal(signal.SIGHUP)
    assert site.server.wait() == 0
    assert "removed at shutdown: True" in site.server.output()


def test_handlers_do_not_keep_a_server_from_ending_whose_grace_period_is_over(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--graceful-timeout=0.5", code=APP)
    hanging = site.connect()
    hanging.send(get("/hang"))
    site.server.wait_output("hanging")
    begin = time.monotonic()
    assert site.server.stop() == 0
    assert time.monotonic() - begin < 5
    assert "removed at shutdown: True" in site.server.output()
    assert "leaving without them" not in site.server.log()


def test_a_wsgi_application_has_its_handlers_run_as_well(serve_asgi: ServeAsgi) -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGUSR2, lambda number, frame: print('handled', flush=True))\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'done']\n"
    )
    site = serve_asgi(ALONE, code=code)
    assert site.fetch(get("/")).body == b"done"
    site.server.signal(signal.SIGUSR2)
    site.server.wait_output("handled")


def test_a_handler_that_a_worker_set_at_import_is_its_own(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--loop=asyncio", code=APP)
    assert site.fetch(get("/")).body == b"done"
    os.kill(site.server.workers()[0], signal.SIGUSR2)
    site.server.wait_output("imported handler of SIGUSR2")
    assert site.fetch(get("/")).body == b"done"


SILENT = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"done"]
"""


def test_sigusr2_does_not_end_a_server_without_a_supervisor(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(ALONE, code=SILENT)
    site.server.signal(signal.SIGUSR2)
    assert site.fetch(get("/")).body == b"done"
    assert site.server.stop() == 0
