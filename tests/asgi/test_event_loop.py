"""The event loop: a plain asyncio loop, as far as an application can see, whose waiting serves connections."""

from __future__ import annotations

import time

import pytest
from conftest import ServeAsgi
from raw_client import get
from ws_client import PING, PONG, Frame, WebSocket
from wsgi_site import Site


def test_tasks_timeouts_threads_subprocesses_and_contexts_work(asgi_site: Site) -> None:
    loop = "uvloop" if "--loop=uvloop" in asgi_site.server.process.args else "asyncio"
    for _ in range(3):
        assert asgi_site.json("loop_facts") == {
            "loop": loop,
            "is a task": True,
            "context before": "nothing",
            "context after": True,
            "gathered": [0, 1, 2, 3, 4],
            "from a thread": 17,
            "called": "called",
            "subprocess": "out\n",
        }


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_debug_mode_works_and_says_what_it_says_elsewhere(
    serve_asgi: ServeAsgi, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    site = serve_asgi(f"--loop={loop}", code=DEBUGGED)
    for _ in range(3):
        assert site.fetch(get("/")).body == b"True"
    site.server.wait_log("Non-thread-safe operation invoked on an event loop other than the current one")
    site.server.wait_log("coroutine 'forgotten' was never awaited")
    site.server.wait_log(r"Executing .*slow.* took 0\.[2-9]\d* seconds")


DEBUGGED = """
import asyncio


async def forgotten():
    pass


def slow():
    import time
    time.sleep(0.25)


def misuse(loop):
    try:
        loop.call_soon(print)
    except RuntimeError as error:
        import sys
        print(error, file=sys.stderr, flush=True)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    loop = asyncio.get_running_loop()
    forgotten()
    loop.call_soon(slow)
    await loop.run_in_executor(None, misuse, loop)
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(loop.get_debug()).encode()})
"""


def test_the_application_s_own_sockets_work(asgi_site: Site) -> None:
    for _ in range(20):
        assert asgi_site.get("over_a_socket").body == b"hello"


def test_libraries_find_asyncio_in_its_usual_place(asgi_site: Site) -> None:
    assert asgi_site.json("over_libraries") == [["hello"] * 5, True, True, "asyncio"]


@pytest.mark.parametrize(("child", "status"), [("return", 0), ("exit", 7), ("later-return", 0), ("later-exit", 7)])
def test_a_forked_child_ends_with_its_request(asgi_site: Site, child: str, status: int) -> None:
    assert asgi_site.json("forking", child=child) == status
    for _ in range(20):
        asgi_site.assert_alive()


def test_an_application_that_stops_the_loop_stops_nothing(asgi_site: Site) -> None:
    for _ in range(3):
        assert asgi_site.get("stopping").body == b"stopped"
    asgi_site.assert_alive()


def test_a_blocked_loop_stops_no_io(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("blocking", seconds=1.5)))
    connection.head()
    # It is on the wire although the loop that sent it is blocked.
    assert connection.read_chunk() == b"part"
    begin = time.monotonic()
    other = asgi_site.connect()
    other.send(b"GET / HTTP/1.1\r\n\r\n")
    assert other.response().status == 400
    assert time.monotonic() - begin < 0.5
    assert (connection.read_chunk(), connection.read_chunk()) == (b" end", b"")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_while_the_loop_is_blocked_for_long_everything_else_goes_on(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", "--health-path=/healthz")
    websocket = WebSocket.open(site, site.target("ws_echo"))
    blocked = site.connect()
    begin = time.monotonic()
    blocked.send(get(site.target("blocking", seconds=5)))
    assert blocked.head().status == 200
    waiting = []
    while time.monotonic() < begin + 4:
        asked = time.monotonic()
        websocket.send(PING, b"there?")
        assert websocket.read() == Frame(PONG, b"there?")
        assert site.fetch(get("/healthz")).status == 200
        assert site.fetch(b"GET / HTTP/1.1\r\n\r\n").status == 400
        waiting.append(site.connect())
        waiting[-1].send(get("/hello"))
        assert time.monotonic() - asked < 0.5
        time.sleep(0.2)
    assert [connection.response().body for connection in waiting] == [b"hello"] * len(waiting)
    assert time.monotonic() > begin + 4.5
    log = site.whole_log()
    assert log.count("has been blocked") == 1 and "in blocking" in log


def test_a_loop_that_waits_is_not_blocked(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--stall-warning=0.1")
    assert site.get("slept", seconds=0.5).body == b"slept"
    assert "has been blocked" not in site.whole_log()


def test_work_behind_a_response_is_waited_for(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi()
    assert site.get("background", seconds=0.7).body == b"hello"
    assert site.server.stop() == 0
    assert f"background done {site.key}" in site.server.log()


def test_the_grace_period_ends_work_behind_a_response(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--graceful-timeout=0.5")
    assert site.get("background", seconds=60).body == b"hello"
    begin = time.monotonic()
    assert site.server.stop() == 0
    assert time.monotonic() - begin < 10
    assert f"background done {site.key}" not in site.server.log()
    assert "told of the shutdown" in site.server.log()


def test_the_application_is_told_of_the_shutdown_after_the_last_response(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi()
    connection = site.connect()
    connection.send(get(site.target("slept", seconds=1)))
    assert "started" in site.recorded("started")
    assert site.server.stop() == 0
    assert connection.response().body == b"slept"
    assert site.server.log().count("told of the shutdown") == 1


def test_the_start_says_what_the_application_was_taken_for(asgi_site: Site, http_site: Site) -> None:
    asgi_site.server.wait_log("an application that speaks ASGI$")
    http_site.server.wait_log("an application that speaks WSGI$")


def test_an_older_application_is_served_as_well(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(
        code=ANSWER + "def app(scope):\n  async def run(receive, send):\n    await answer(send)\n  return run\n"
    )
    assert site.get("x").body == b"served"
    site.server.wait_log("an application that speaks ASGI 2$")


def test_system_exit_costs_one_request(serve_asgi: ServeAsgi) -> None:
    code = "import asyncio, sys\n" + ANSWER + EXITING
    site = serve_asgi(code=code)
    for path in ("at-once", "later"):
        assert site.fetch(get(f"/{path}")).status == 500
        assert site.fetch(get("/fine")).body == b"served"


def test_a_start_that_hangs_can_be_interrupted(serve_asgi: ServeAsgi) -> None:
    server = serve_asgi.failing(code="import asyncio, sys\n" + HANGING)
    server.wait_log("starting")
    assert server.stop() == 0
    assert "listening" not in server.log()


NEVER_DONE = """
import asyncio
from contextlib import asynccontextmanager


async def connect(when):
    if when == WHEN:
        await asyncio.sleep(3600)


async def database():
    await connect("startup")
    yield
    await connect("shutdown")


@asynccontextmanager
async def lifespan():
    async for _ in database():
        yield


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        async with lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await connect(WHEN)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_start_that_takes_too_long_is_given_up_with_the_place_where_it_waits(
    serve_asgi: ServeAsgi, loop: str
) -> None:
    server = serve_asgi.failing(f"--loop={loop}", "--lifespan-timeout=0.5", code=NEVER_DONE + "WHEN = 'startup'\n")
    assert server.wait() == 3
    assert "the application's startup has not ended after 0.5 s (--lifespan-timeout); it waits here:" in server.log()
    places = [line.rpartition(" in ")[2] for line in server.log().splitlines() if line.startswith("  File ")]
    assert places[0] == "app" and places[-3:] == ["database", "connect", "sleep"], server.log()


STUBBORN = """
import asyncio


async def app(scope, receive, send):
    await receive()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_start_that_cannot_be_cancelled_is_given_up_as_well(serve_asgi: ServeAsgi, loop: str) -> None:
    server = serve_asgi.failing(f"--loop={loop}", "--lifespan-timeout=0.5", code=STUBBORN)
    assert server.wait() == 3
    assert "the application's startup has not ended after 0.5 s" in server.log()


def test_a_shutdown_that_takes_too_long_is_given_up_with_the_place_where_it_waits(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--lifespan-timeout=0.5", code=NEVER_DONE + "WHEN = 'shutdown'\n")
    assert site.server.stop() == 0
    assert (
        "the application's shutdown has not ended after 0.5 s (--lifespan-timeout); it waits here:" in site.server.log()
    )
    assert "in database" in site.server.log()


def test_what_the_grace_period_cuts_off_is_named_with_the_place_where_it_waits(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--graceful-timeout=0.5", code=NEVER_DONE + "WHEN = 'shutdown'\n")
    connection = site.connect()
    connection.send(get("/slow?x=1"))
    assert connection.head().status == 200
    begin = time.monotonic()
    assert site.server.stop() == 0
    assert time.monotonic() - begin < 10
    log = site.server.log()
    assert "GET /slow?x=1 is cut off; it waits here:" in log
    assert "in connect\n    await asyncio.sleep(3600)" in log


def test_a_loop_may_be_made_by_any_function(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--loop=asyncio:SelectorEventLoop")
    for _ in range(20):
        assert site.get("slept", seconds=0.01).body == b"slept"
    assert site.get("background", seconds=0.3).body == b"hello"
    assert site.server.stop() == 0
    assert f"background done {site.key}" in site.server.log()
    assert "told of the shutdown" in site.server.log()


@pytest.mark.parametrize("name", ["nowhere:new_loop", "asyncio:nothing"])
def test_a_loop_that_does_not_exist_is_named(serve_asgi: ServeAsgi, name: str) -> None:
    server = serve_asgi.failing(f"--loop={name}", code=ANSWER + LIFESPANS["absent"])
    assert server.wait() == 3
    assert f"option --loop: {name}: " in server.log()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_blocks_a_loop_of_any_kind_is_shown_once(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi("--stall-warning=0.3", f"--loop={loop}")
    connection, other = site.connect(), site.connect()
    connection.send(get(site.target("blocking", seconds=1.2)))
    connection.head()
    other.send(get("/hello"))
    assert other.response().body == b"hello"
    site.server.wait_log(r"the event loop has been blocked for 0\.3 s[\s\S]*in blocking[\s\S]*time\.sleep")
    assert site.get("blocking", seconds=0.1).body == b"part end"
    assert site.whole_log().count("has been blocked") == 1


def test_a_task_factory_is_honoured(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(code="import asyncio\n" + ANSWER + FACTORY)
    assert site.get("x").body == b"made by the factory"


EXITING = """
async def app(scope, receive, send):
  assert scope["type"] == "http"
  if scope["path"] == "/later":
    await asyncio.sleep(0.01)
  if scope["path"] != "/fine":
    sys.exit(3)
  await answer(send)
"""
HANGING = """
async def app(scope, receive, send):
  print("starting", file=sys.stderr, flush=True)
  await asyncio.sleep(60)
"""
FACTORY = """
made = []

def factory(loop, coro, **options):
  made.append(coro)
  return asyncio.Task(coro, loop=loop, **options)

async def app(scope, receive, send):
  if scope["type"] == "lifespan":
    await receive()
    asyncio.get_running_loop().set_task_factory(factory)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    return await send({"type": "lifespan.shutdown.complete"})
  body = b"made by the factory" if len(made) == 1 else b"made elsewhere"
  await send({"type": "http.response.start", "status": 200})
  await send({"type": "http.response.body", "body": body})
"""
LIFESPANS = {
    "silent": ("async def app(scope, receive, send):\n  assert scope['type'] == 'http'\n" + "  await answer(send)\n"),
    "absent": ("async def app(scope, receive, send):\n  if scope['type'] == 'http':\n    await answer(send)\n"),
}
ANSWER = """
async def answer(send):
  await send({"type": "http.response.start", "status": 200})
  await send({"type": "http.response.body", "body": b"served"})
"""
FAILING = """
async def app(scope, receive, send):
  await receive()
  await send({"type": "lifespan.startup.failed", "message": "no database today"})
"""


@pytest.mark.parametrize("kind", LIFESPANS)
def test_an_application_without_lifespan_is_served(serve_asgi: ServeAsgi, kind: str) -> None:
    site = serve_asgi(code=ANSWER + LIFESPANS[kind])
    assert site.get("x").body == b"served"
    assert "Traceback" not in site.server.log()


def test_lifespan_can_be_switched_off(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--lifespan=off", code=ANSWER + FAILING.replace("await receive()", "return await answer(send)"))
    assert site.get("x").body == b"served"


STARTS_THAT_FAIL = [
    (FAILING, [], "no database today"),
    (ANSWER + LIFESPANS["silent"], ["--lifespan=on"], "AssertionError"),
    (ANSWER + LIFESPANS["absent"], ["--lifespan=on"], "does not support the lifespan protocol"),
]


@pytest.mark.parametrize(("code", "options", "words"), STARTS_THAT_FAIL)
def test_a_start_that_fails_leaves_nothing_open_and_is_told_once(
    serve_asgi: ServeAsgi, code: str, options: list[str], words: str
) -> None:
    server = serve_asgi.failing(*options, code=AT_EXIT + code)
    assert server.wait() == 3
    assert words in server.log()
    assert "never retrieved" not in server.log() and "Unclosed" not in server.log()
    assert server.output() == "closed\n"


AT_EXIT = """
import asyncio
import atexit

loops = set()
make = asyncio.BaseEventLoop.__init__


def note(loop):
    make(loop)
    loops.add(loop)


asyncio.BaseEventLoop.__init__ = note
atexit.register(lambda: print("closed" if all(loop.is_closed() for loop in loops) else "open"))
"""


@pytest.mark.parametrize(
    ("code", "options", "words"),
    STARTS_THAT_FAIL,
)
def test_a_start_that_fails_ends_the_server_with_the_application_s_words(
    serve_asgi: ServeAsgi, code: str, options: list[str], words: str
) -> None:
    server = serve_asgi.failing(*options, code=code)
    assert server.wait() == 3
    assert words in server.log()
    assert "listening" not in server.log()
