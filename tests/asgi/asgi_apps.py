"""All applications of the ASGI tests: coroutine functions, called by the first segment of the path.

Parameters come in the query; `key` names the test (see `events`).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import events
import httpx
import sniffio
import websocket_apps

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

TEXT = (b"content-type", b"text/plain")
_seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls the function that the path's first segment names; speaks the lifespan protocol."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    name = scope["path"].strip("/").partition("/")[0]
    await APPLICATIONS.get(name, scope_dump)(scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    await asyncio.sleep(0.01)
    scope["state"]["from startup"] = ["shared"]
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await asyncio.sleep(0.01)
    print("told of the shutdown", file=sys.stderr, flush=True)
    await send({"type": "lifespan.shutdown.complete"})


# --- Tools of the tests ---------------------------------------------------------------------------------------------


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, b"hello")


async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
    query = _query(scope)
    wanted = query["wanted"].split(",") if query.get("wanted") else []
    seconds = float(query.get("seconds", "0"))
    loop = asyncio.get_running_loop()
    await _json(send, await loop.run_in_executor(None, events.recorded, query["key"], wanted, seconds))


async def open_gate(scope: Scope, receive: Receive, send: Send) -> None:
    events.open_gate(_query(scope)["key"])
    await respond(send, b"opened")


async def errors_stream(scope: Scope, receive: Receive, send: Send) -> None:
    print(f"second line {_query(scope)['key']}", file=sys.stderr, flush=True)
    await respond(send, b"")


# --- Scope ----------------------------------------------------------------------------------------------------------


async def scope_dump(scope: Scope, receive: Receive, send: Send) -> None:
    """The scope, with the types of what it holds."""
    await _json(send, {key: _plain(value) for key, value in scope.items()})


async def scope_spoiled(scope: Scope, receive: Receive, send: Send) -> None:
    """Writes into every dict and list of its scope; tells what the dicts held before."""
    before = {key: sorted(scope[key]) for key in ("asgi", "extensions", "state")}
    for key in ("asgi", "extensions", "state"):
        scope[key]["spoiled"] = True
    scope["headers"].append((b"spoiled", b"yes"))
    scope["spoiled"] = True
    await _json(send, [before, (b"spoiled", b"yes") in scope["headers"][:-1]])


# --- Response -------------------------------------------------------------------------------------------------------


async def streamed(scope: Scope, receive: Receive, send: Send) -> None:
    """`count` chunks of `size` bytes."""
    query = _query(scope)
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for _ in range(int(query["count"])):
        await send({"type": "http.response.body", "body": b"x" * int(query["size"]), "more_body": True})
    await send({"type": "http.response.body"})


async def streamed_in_steps(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for the gate between two chunks."""
    key = _query(scope)["key"]
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.get_running_loop().run_in_executor(None, events.wait_gate, key)
    await send({"type": "http.response.body", "body": b"second", "more_body": False})


async def bare_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 202})
    await send({"type": "http.response.body"})


async def any_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Headers as a generator of lists; a body that is a `kind` of buffer."""
    kinds: dict[str, Callable[[bytes], Any]] = {"bytes": bytes, "bytearray": bytearray, "memoryview": memoryview}
    headers = ([name, value] for name, value in [(b"x-One", b"1"), (b"x-two", b"\xe4"), (b"x-One", b"3")])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": kinds[_query(scope)["kind"]](b"buffer"), "other": 1})


async def hop_by_hop(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"transfer-encoding", b"gzip, chunked"), (b"connection", b"close"), (b"x-kept", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"body"})


async def with_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Promises `length` bytes and sends the chunks of `sizes`."""
    query = _query(scope)
    sizes = [int(size) for size in query["sizes"].split(",")]
    headers = [(b"content-length", query["length"].encode())]
    await send({"type": "http.response.start", "status": int(query.get("status", "200")), "headers": headers})
    for left, size in zip(range(len(sizes) - 1, -1, -1), sizes, strict=True):
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": left > 0})


async def mistaken(scope: Scope, receive: Receive, send: Send) -> None:
    """Makes the mistake that `mistake` names, before or after its response; tells what was raised."""
    query = _query(scope)
    start = {"type": "http.response.start", "status": 200, "headers": []}
    body = {"type": "http.response.body", "body": b"", "more_body": True}
    mistakes: dict[str, list[Any]] = {
        "no dict": ["text"],
        "no type": [{"status": 200}],
        "unknown type": [{"type": "http.response.end"}],
        "body first": [body],
        "two starts": [start, start],
        "start while streaming": [start, body, start],
        "text body": [start, {**body, "body": "text"}],
        "text header": [{**start, "headers": [("a", "b")]}],
        "bad header": [{**start, "headers": [(b"a", b"b\r\nc: d")]}],
        "bad name": [{**start, "headers": [(b"a b", b"c")]}],
        "three in a pair": [{**start, "headers": [(b"a", b"b", b"c")]}],
        "no status": [{"type": "http.response.start"}],
        "text status": [{**start, "status": "200 OK"}],
        "interim status": [{**start, "status": 103}],
        "huge status": [{**start, "status": 1000}],
    }
    try:
        for event in mistakes[query["mistake"]]:
            await send(event)
    except Exception as error:
        events.record(query["key"], f"{type(error).__name__}: {error}")
        raise


async def sends_after_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, b"hello")
    try:
        await send({"type": "http.response.body", "body": b"more"})
    except Exception as error:
        events.record(_query(scope)["key"], f"{type(error).__name__}: {error}")


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises at `stage` of its response."""
    stage = _query(scope)["stage"]
    if stage != "before":
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    if stage == "streaming":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(0.01)
    raise RuntimeError(f"boom {_query(scope)['key']}")


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns at `stage` of its response."""
    stage = _query(scope)["stage"]
    if stage != "before":
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    if stage == "streaming":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})


async def sent_by_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the file `path`, where `before` says so behind another part of the body."""
    query = _query(scope)
    headers = [(b"content-length", query["length"].encode())] if "length" in query else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if query.get("before"):
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    try:
        await send({"type": "http.response.pathsend", "path": query["path"]})
    except Exception as error:
        events.record(query["key"], f"{type(error).__name__}: {error}")
        raise
    events.record(query["key"], (await receive())["type"])
    events.record(query["key"], (await receive())["type"])


async def sent_by_descriptor(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends parts of the file `path`: `parts` are bodies ("b:text") and stretches of the file ("f:offset:count", either may be empty)."""
    query = _query(scope)
    parts = query["parts"].split(",")
    fd = os.open(query["path"], os.O_RDONLY)
    await send({"type": "http.response.start", "status": 200})
    try:
        for number, part in enumerate(parts, 1):
            kind, *values = part.split(":")
            event: Event = {"type": "http.response.body", "body": values[0].encode()}
            if kind == "f":
                event = {"type": "http.response.zerocopysend", "file": fd}
                event |= {name: int(value) for name, value in zip(("offset", "count"), values, strict=False) if value}
            await send({**event, "more_body": number < len(parts)})
        events.record(query["key"], str(os.lseek(fd, 0, os.SEEK_CUR)))
    except OSError as error:
        events.record(query["key"], type(error).__name__)
        raise
    finally:
        os.close(fd)


async def gives_back(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the body back, of which it gives up every second pair of events at first, in all the ways there are."""
    body, more = b"", True
    for number in range(1000):
        first, second = receive(), receive()
        match number % 3:
            case 0:
                first.close()  # type: ignore[attr-defined]
                second.close()  # type: ignore[attr-defined]
            case 1:
                del first, second
            case 2:
                tasks = [asyncio.ensure_future(first), asyncio.ensure_future(second)]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            more = False
            break
    assert not more
    await respond(send, body)


async def mistaken_descriptor(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends what no file is."""
    query = _query(scope)
    reader, writer = os.pipe()
    fd = os.open(__file__, os.O_RDONLY)
    mistakes: dict[str, Event] = {
        "pipe": {"file": reader},
        "closed": {"file": 10_000},
        "negative": {"file": -1},
        "text": {"file": "1"},
        "none": {},
        "count": {"file": fd, "offset": 10, "count": 10**9},
        "offset": {"file": fd, "offset": -1},
    }
    await send({"type": "http.response.start", "status": 200})
    for name, event in mistakes.items():
        try:
            await send({"type": "http.response.zerocopysend", **event})
        except Exception as error:
            events.record(query["key"], f"{name} {type(error).__name__}")
    for number in (reader, writer, fd):
        os.close(number)
    await send({"type": "http.response.body", "body": b"still there"})


async def trailing(scope: Scope, receive: Receive, send: Send) -> None:
    """A body in `count` parts, and trailers in two events."""
    query = _query(scope)
    count = int(query["count"])
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT], "trailers": True})
    for left in range(count - 1, -1, -1):
        await send({"type": "http.response.body", "body": b"part", "more_body": left > 0})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"2")]})
    events.record(query["key"], "trailers" if "http.response.trailers" in scope["extensions"] else "not advertised")


async def hinting(scope: Scope, receive: Receive, send: Send) -> None:
    """Early hints before and behind the start, where they are advertised."""
    if "http.response.early_hint" not in scope["extensions"]:
        await respond(send, b"none")
        return
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await asyncio.get_running_loop().run_in_executor(None, events.wait_gate, _query(scope)["key"])
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.early_hint", "links": [b"</c.css>; rel=preload"]})
    await send({"type": "http.response.body", "body": b"hinted"})


async def cancellable(scope: Scope, receive: Receive, send: Send) -> None:
    """Sleeps before or in the middle of its response, and looks at nothing."""
    query = _query(scope)
    if query["stage"] == "streaming":
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    events.record(query["key"], "started")
    try:
        await asyncio.sleep(float(query["seconds"]))
        events.record(query["key"], "slept")
    except asyncio.CancelledError:
        events.record(query["key"], "cancelled")
        raise


# --- Request --------------------------------------------------------------------------------------------------------


async def body_seen(scope: Scope, receive: Receive, send: Send) -> None:
    """How the body came: bytes in all, whether the last event said so, and what comes after it."""
    total, chunks = 0, 0
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        total += len(event["body"])
        chunks += 1
        if not event["more_body"]:
            break
    await _json(send, {"total": total, "several": chunks > 1})
    events.record(_query(scope)["key"], (await receive())["type"])


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends each part of the body back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event["body"], "more_body": more})


async def cancelled_receive(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancels `receive()` while it waits, often, and still sees the whole body."""
    total, more = 0, True
    while more:
        task = asyncio.ensure_future(receive())
        await asyncio.wait([task], timeout=0.001)
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                event = await task
                total, more = total + len(event["body"]), event["more_body"]
            continue
        event = task.result()
        total, more = total + len(event["body"]), event["more_body"]
    await _json(send, total)


async def received_in_a_task(scope: Scope, receive: Receive, send: Send) -> None:
    """Both callables go where only coroutines may go."""
    event = await asyncio.create_task(receive())  # type: ignore[arg-type]
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await asyncio.create_task(send(start))  # type: ignore[arg-type]
    await send({"type": "http.response.body", "body": event["body"]})


async def until_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for its client to leave, before or in the middle of the response."""
    query = _query(scope)
    events.record(query["key"], "started")
    while (await receive()).get("more_body"):
        pass
    if query["stage"] == "streaming":
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    event = await receive()
    events.record(query["key"], event["type"])
    events.record(query["key"], (await receive())["type"])
    try:
        if query["stage"] == "streaming":
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
        else:
            await send({"type": "http.response.start", "status": 200})
    except OSError as error:
        events.record(query["key"], type(error).__name__)
        raise


async def listening_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for its client to leave in a task that begins before the response does, as Starlette's streams do."""
    key = _query(scope)["key"]
    await receive()

    async def listen() -> None:
        events.record(key, (await receive())["type"])

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await listener


async def cancelled_unstarted(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancels receives that have not begun, while nothing is there, and sees the whole body all the same."""
    total = len((await receive())["body"])
    for _ in range(3):
        task = asyncio.create_task(receive())  # type: ignore[arg-type]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            total += len((await task)["body"])
    events.record(_query(scope)["key"], "cancelled")
    more = True
    while more:
        event = await receive()
        total, more = total + len(event["body"]), event["more_body"]
    await _json(send, total)


async def orphans(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends with its response incomplete while a task of its own still receives."""
    key = _query(scope)["key"]
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})

    async def listen() -> None:
        events.record(key, (await receive())["type"])

    _kept.append(asyncio.create_task(listen()))
    await asyncio.sleep(0.01)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends until its client leaves; `produced` tells how far it got."""
    key = _query(scope)["key"]
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            events.produced.add(key, 10_000)
    finally:
        events.record(key, "ended")


async def produced(scope: Scope, receive: Receive, send: Send) -> None:
    await _json(send, events.produced.value(_query(scope)["key"]))


# --- Event loop -----------------------------------------------------------------------------------------------------


async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
    """Stops the server's event loop, which is not its own."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.001)
    await respond(send, b"stopped")


async def slept(scope: Scope, receive: Receive, send: Send) -> None:
    events.record(_query(scope).get("key", ""), "started")
    await asyncio.sleep(float(_query(scope)["seconds"]))
    await respond(send, b"slept")


async def loop_facts(scope: Scope, receive: Receive, send: Send) -> None:
    """What a task may expect of its loop."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    before, mine = _seen.get(), _query(scope)["key"]
    _seen.set(mine)
    async with asyncio.timeout(5) if sys.version_info >= (3, 11) else contextlib.nullcontext():
        results = await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(5)))
    in_thread = await loop.run_in_executor(None, lambda: 17)
    called = loop.create_future()
    loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(called.set_result, "called"))
    process = await asyncio.create_subprocess_exec("echo", "out", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    facts = {
        "is a task": isinstance(task, asyncio.Task) and asyncio.current_task() is task,
        "context before": before,
        "context after": _seen.get() == mine,
        "gathered": results,
        "from a thread": in_thread,
        "called": await called,
        "subprocess": output.decode(),
        "loop": type(loop).__module__.partition(".")[0],
    }
    await _json(send, facts)


async def over_a_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Asks its own server for `/hello` through asyncio's own streams."""
    host, port = scope["server"]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await respond(send, answer.rpartition(b"\r\n\r\n")[2])


async def over_libraries(scope: Scope, receive: Receive, send: Send) -> None:
    """Asks its own server through httpx, in a task group of anyio's, under a time limit, and in a thread."""
    host, port = scope["server"]
    answers: list[str] = []

    async def ask(client: httpx.AsyncClient) -> None:
        answers.append((await client.get("/hello")).text)

    url = f"http://{host}:{port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask, client)
    timed_out = False
    try:
        with anyio.fail_after(0.01):
            await anyio.sleep(10)
    except TimeoutError:
        timed_out = True
    thread = await anyio.to_thread.run_sync(lambda: threading.current_thread().name)
    await _json(send, [answers, timed_out, "AnyIO" in thread, sniffio.current_async_library()])


async def blocking(scope: Scope, receive: Receive, send: Send) -> None:
    """Blocks the whole loop for `seconds`."""
    query = _query(scope)
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    events.record(query["key"], "blocking")
    time.sleep(float(query["seconds"]))
    await send({"type": "http.response.body", "body": b" end"})


async def forking(scope: Scope, receive: Receive, send: Send) -> None:
    """Forks a child off, which does as `child` says; tells how the child ended."""
    how = _query(scope)["child"]
    if how.startswith("later"):
        await asyncio.sleep(0.001)
    pid = os.fork()
    if pid == 0:
        if how.endswith("wait"):
            await asyncio.sleep(0.01)
        if not how.endswith("return"):
            sys.exit(7)
        return
    _, status = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
    await _json(send, os.waitstatus_to_exitcode(status))


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Works on after its response."""
    query = _query(scope)
    await respond(send, b"hello")
    await asyncio.sleep(float(query["seconds"]))
    print(f"background done {query['key']}", file=sys.stderr, flush=True)


# --- Private --------------------------------------------------------------------------------------------------------


async def respond(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    await send({"type": "http.response.body", "body": body})


async def _json(send: Send, value: object) -> None:
    await respond(send, json.dumps(value).encode())


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, encoding="latin-1"))


def _plain(value: object) -> object:
    """A value as JSON, with its type where JSON has none."""
    if isinstance(value, bytes):
        return ["bytes", value.decode("latin-1")]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(_plain, value)]
    return value


_kept: list[Any] = []

APPLICATIONS = {
    name: value
    for name, value in list(globals().items())
    if asyncio.iscoroutinefunction(value) and not name.startswith("_") and name not in ("application", "respond")
} | websocket_apps.APPLICATIONS
