"""The applications of the WebSocket tests, called like those of `asgi_apps`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import events

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


async def ws_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends everything back; notes how the connection ended."""
    await _accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        assert set(event) in ({"type", "text"}, {"type", "bytes"})
        await send({**event, "type": "websocket.send"})
    _note_end(scope, event)


async def ws_accepting(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts with a subprotocol and headers, and notes what became of it."""
    query = _query(scope)
    assert (await receive()) == {"type": "websocket.connect"}
    event: Event = {
        "type": "websocket.accept",
        "headers": [(b"x-one", b"1"), (b"Set-Cookie", b"a=b"), (b"x-one", b"2")],
    }
    if "subprotocol" in query:
        event["subprotocol"] = query["subprotocol"]
    if "header" in query:
        event["headers"] = [(query["header"].encode(), b"x")]
    try:
        await send(event)
    except ValueError as error:
        events.record(query["key"], str(error))
        raise
    await send({"type": "websocket.send", "text": repr(scope["subprotocols"])})
    await send({"type": "websocket.close"})


async def ws_refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes before it has accepted."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.close", "code": 4000})
    _note_end(scope, await receive())


async def ws_denying(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses with a response of its own, in `parts` parts."""
    query = _query(scope)
    assert "websocket.http.response" in scope["extensions"]
    assert (await receive())["type"] == "websocket.connect"
    headers = [(b"x-why", b"no ticket"), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    parts = int(query["parts"])
    for number in range(parts):
        more = number + 1 < parts
        await send({"type": "websocket.http.response.body", "body": b"%d," % number, "more_body": more})
    _note_end(scope, await receive())


async def ws_failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises, or returns, `when`."""
    query = _query(scope)
    assert (await receive())["type"] == "websocket.connect"
    if query["when"] == "accepted":
        await send({"type": "websocket.accept"})
    elif query["when"] == "denying":
        await send({"type": "websocket.http.response.start", "status": 401})
    if query["how"] == "raise":
        raise RuntimeError(f"raised for {query['key']}")


async def ws_closing(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes with what the query says, behind a message."""
    query = _query(scope)
    await _accept(receive, send)
    await send({"type": "websocket.send", "bytes": b"last"})
    close: Event = {"type": "websocket.close"}
    if "code" in query:
        close["code"] = int(query["code"])
    if "reason" in query:
        close["reason"] = query["reason"]
    try:
        await send(close)
    except ValueError as error:
        events.record(query["key"], str(error))
        raise
    _note_end(scope, await receive())


async def ws_closing_behind_much(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a large message, and closes at once."""
    await _accept(receive, send)
    await send({"type": "websocket.send", "bytes": bytes(8 * 1024 * 1024)})
    await send({"type": "websocket.close", "code": 4001, "reason": "why"})


async def ws_mistaken(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends `events` in turn, and notes which errors they raise."""
    query = _query(scope)
    possible: dict[str, Any] = {
        "accept": {"type": "websocket.accept"},
        "text": {"type": "websocket.send", "text": "text"},
        "bytes": {"type": "websocket.send", "bytes": bytearray(b"bytes"), "text": None},
        "both": {"type": "websocket.send", "bytes": None, "text": "both"},
        "neither": {"type": "websocket.send"},
        "bytes as text": {"type": "websocket.send", "text": b"bytes"},
        "text as bytes": {"type": "websocket.send", "bytes": "text"},
        "close": {"type": "websocket.close"},
        "denial": {"type": "websocket.http.response.start", "status": 400},
        "denial body": {"type": "websocket.http.response.body"},
        "http": {"type": "http.response.start", "status": 200},
        "no type": {},
        "no dict": "websocket.accept",
        "surrogate": {"type": "websocket.send", "text": "\ud800"},
    }
    assert (await receive())["type"] == "websocket.connect"
    for name in query["events"].split(","):
        try:
            await send(possible[name])
        except Exception as error:
            events.record(query["key"], f"{name}: {type(error).__name__}: {error}")
    events.record(query["key"], "done")


async def ws_sending(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a lot, without ever receiving; notes how far it comes and what ends it."""
    query = _query(scope)
    await _accept(receive, send)
    size, count = int(query["size"]), int(query["count"])
    for number in range(count):
        try:
            await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") + b"x" * (size - 4)})
        except OSError as error:
            events.record(query["key"], type(error).__name__)
            return
        events.produced.add(query["key"], 1)
    events.record(query["key"], "all sent")
    _note_end(scope, await receive())


async def ws_lazy(scope: Scope, receive: Receive, send: Send) -> None:
    """Receives nothing until its gate is open, and then everything; tells how many there were."""
    query = _query(scope)
    await _accept(receive, send)
    await asyncio.get_running_loop().run_in_executor(None, events.wait_gate, query["key"])
    count = 0
    while (event := await receive())["type"] == "websocket.receive":
        count += 1
        if event.get("text") == "last":
            await send({"type": "websocket.send", "text": str(count)})
    _note_end(scope, event)


async def ws_cancelled_receive(scope: Scope, receive: Receive, send: Send) -> None:
    """Gives receives up, in all the ways there are, and loses nothing."""
    await _accept(receive, send)
    for _ in range(3):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
    waiting = receive()
    del waiting
    await send({"type": "websocket.send", "text": "go"})
    await asyncio.sleep(0.1)
    # Messages have come by now: these are complete before their first step.
    for _ in range(3):
        task = asyncio.ensure_future(receive())
        task.cancel()
        try:
            await task
            raise AssertionError("the cancellation was lost")
        except asyncio.CancelledError:
            pass
    complete = receive()
    del complete
    receive().close()  # type: ignore[attr-defined]
    texts = [(await receive())["text"] for _ in range(3)]
    await send({"type": "websocket.send", "text": ",".join(texts)})
    _note_end(scope, await receive())


async def ws_concurrent(scope: Scope, receive: Receive, send: Send) -> None:
    """Receives in one task while another one sends."""
    await _accept(receive, send)

    async def tick() -> None:
        for number in range(100):
            await send({"type": "websocket.send", "text": str(number)})
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": "echo " + event["text"]})
    await ticking
    _note_end(scope, event)


async def ws_until_told(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for the end; after it, everything that is sent raises OSError."""
    query = _query(scope)
    await _accept(receive, send)
    events.record(query["key"], "accepted")
    event = await receive()
    _note_end(scope, event)
    try:
        await send({"type": "websocket.send", "text": "too late"})
    except OSError as error:
        events.record(query["key"], type(error).__name__)
    assert await receive() == event


async def ws_undecided(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for the client to leave before it has an answer."""
    assert (await receive())["type"] == "websocket.connect"
    events.record(_query(scope)["key"], "undecided")
    _note_end(scope, await receive())
    try:
        await send({"type": "websocket.accept"})
    except OSError as error:
        events.record(_query(scope)["key"], type(error).__name__)


async def ws_orphaned(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends while a task of its own waits in `receive()`, and another one in `send()`."""
    key = _query(scope)["key"]
    await _accept(receive, send)

    async def listen() -> None:
        events.record(key, (await receive())["type"])

    async def talk() -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError as error:
            events.record(key, type(error).__name__)

    _orphans.update(map(asyncio.ensure_future, (listen(), talk())))
    await asyncio.sleep(0.1)


async def ws_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells its scope."""
    await _accept(receive, send)
    await send({"type": "websocket.send", "text": repr(scope)})
    scope["state"]["spoiled"] = scope["extensions"]["spoiled"] = scope["asgi"]["spoiled"] = "spoiled"
    await receive()


async def _accept(receive: Receive, send: Send) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})


def _note_end(scope: Scope, event: Event) -> None:
    assert event["type"] == "websocket.disconnect", event
    events.record(_query(scope)["key"], f"{event['code']} {event['reason']}".strip())


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, encoding="latin-1"))


_orphans: set[asyncio.Future[None]] = set()

APPLICATIONS = {name: value for name, value in globals().items() if name.startswith("ws_")}
