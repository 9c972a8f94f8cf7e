"""Known applications for load-testing harnesses: `ironbridge ironbridge.target:wsgi`, or `:asgi`.

They do as little as plain Python can, so that a harness measures the server. Each path says what it costs; the
numbers in paths choose sizes and times. Any method is answered. `docs/targets.md` has commands for harnesses.
"""

from __future__ import annotations

import contextlib
import json
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
    from typing import Any

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    Route = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
    NumberedRoute = Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes]]
    Event = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Event]]
    Send = Callable[[Event], Awaitable[None]]
    AsyncRoute = Callable[[Event, Receive, Send, str], Awaitable[None]]

__all__ = ["asgi", "wsgi"]


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers one request (PEP 3333).

    Paths:
        /: this list, as text.
        /plaintext: `Hello, world!`, text/plain.
        /json: `{"message": "Hello, world!"}`, serialised for each request.
        /bytes/N: N bytes with a Content-Length; N up to 1 GiB.
        /stream/N: N chunks of 1024 bytes from a generator, without a Content-Length; N up to 1048576.
        /sleep/MS: blocks for MS milliseconds without using the CPU; MS up to 60000, fractions allowed.
        /cpu/MS: computes in pure Python until the thread has used MS milliseconds of CPU time; likewise.
        /echo: the request's body, with its Content-Type.
        /headers/N: N header fields beside Content-Type and Content-Length, and 1024 bytes; N up to 1000.
        /status/N: an answer with status N, from 200 to 599.

    Args:
        environ: The request.
        start_response: Takes the status and the headers.

    Returns:
        The body. An unknown path has status 404, a number out of its range 400.
    """
    path = environ.get("PATH_INFO", "")
    route = _ROUTES.get(path)
    if route is not None:
        return route(environ, start_response)
    kind, _, number = path[1:].partition("/")
    numbered = _NUMBERED_ROUTES.get(kind)
    if numbered is None:
        return _text(start_response, "404 Not Found", b"no such path; / lists them\n")
    try:
        return numbered(environ, start_response, number)
    except _OutOfRange as refusal:
        return _text(start_response, "400 Bad Request", f"/{kind}: {refusal}\n".encode("latin-1", "replace"))


async def asgi(scope: Event, receive: Receive, send: Send) -> None:
    """Answers one request (ASGI 3.0), and the lifespan protocol.

    Paths: those of `wsgi`. /echo/N sends the body back in N chunks; /sleep/MS awaits `asyncio.sleep`; /cpu/MS computes
    on the event loop; /sse/N sends N server-sent events, one every 10 milliseconds (N up to 1048576). To WebSockets,
    /ws sends every message back, and /ws/all sends it to everybody who is connected there.

    Args:
        scope: The connection.
        receive: Gives its events.
        send: Takes the answer's.
    """
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await _websocket(scope, receive, send)
        return
    kind, _, number = scope["path"][1:].partition("/")
    route = _ASYNC_ROUTES.get(kind)
    if route is None:
        await _async_text(send, 404, b"no such path; / lists them\n")
        return
    try:
        await route(scope, receive, send, number)
    except _OutOfRange as refusal:
        await _async_text(send, 400, f"/{kind}: {refusal}\n".encode("latin-1", "replace"))


# The headers are a new list for each response: the server may change it (PEP 3333, "The start_response() Callable").


def _plaintext(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [_TEXT, _HELLO_LENGTH])
    return [_HELLO]


def _json(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    body = json.dumps({"message": "Hello, world!"}).encode()
    start_response("200 OK", [_JSON, ("Content-Length", str(len(body)))])
    return [body]


def _echo(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    length = environ.get("CONTENT_LENGTH")
    # A chunked request has no length; servers that mark the end of the body say so.
    size = int(length) if length else -1 if environ.get("wsgi.input_terminated") else 0
    body = environ["wsgi.input"].read(size)
    kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _index(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _text(start_response, "200 OK", _INDEX)


def _bytes(_: WSGIEnvironment, start_response: StartResponse, number: str) -> Iterable[bytes]:
    size = _whole(number, 0, _MOST_BYTES)
    start_response("200 OK", [_BINARY, ("Content-Length", str(size))])
    return [_pattern(size)] if size <= _MOST_IN_ONE_PIECE else _pieces(size)


def _stream(_: WSGIEnvironment, start_response: StartResponse, number: str) -> Iterator[bytes]:
    count = _whole(number, 0, _MOST_CHUNKS)
    start_response("200 OK", [_BINARY])
    return (_KIBIBYTE for _ in range(count))


def _sleep(_: WSGIEnvironment, start_response: StartResponse, number: str) -> list[bytes]:
    time.sleep(_milliseconds(number))
    return _text(start_response, "200 OK", b"slept\n")


def _cpu(_: WSGIEnvironment, start_response: StartResponse, number: str) -> list[bytes]:
    _compute(_milliseconds(number))
    return _text(start_response, "200 OK", b"computed\n")


def _headers(_: WSGIEnvironment, start_response: StartResponse, number: str) -> list[bytes]:
    start_response("200 OK", [_BINARY, _KIBIBYTE_LENGTH, *_fields(_whole(number, 0, _MOST_FIELDS))])
    return [_KIBIBYTE]


def _status(_: WSGIEnvironment, start_response: StartResponse, number: str) -> list[bytes]:
    code = _whole(number, 200, 599)
    phrase = _phrase(code)
    if code in (204, 304):
        start_response(f"{code} {phrase}", [])
        return []
    return _text(start_response, f"{code} {phrase}", f"{code} {phrase}\n".encode())


def _phrase(code: int) -> str:
    return HTTPStatus(code).phrase if code in _KNOWN_STATUSES else "Unassigned"


def _compute(seconds: float) -> None:
    """Uses so much of the thread's CPU time."""
    end = time.thread_time() + seconds
    # The clock is a system call: look at it after some tens of microseconds of computing.
    total = 0
    while time.thread_time() < end:
        for value in range(500):
            total += value


def _text(start_response: StartResponse, status: str, body: bytes) -> list[bytes]:
    start_response(status, [_TEXT, ("Content-Length", str(len(body)))])
    return [body]


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def _websocket(scope: Event, receive: Receive, send: Send) -> None:
    await receive()
    if scope["path"] not in ("/ws", "/ws/all"):
        await send({"type": "websocket.close"})
        return
    # A client that knows that it is connected is to hear everything from then on.
    if scope["path"] == "/ws/all":
        _everybody.add(send)
    try:
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            message = {"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")}
            if scope["path"] == "/ws":
                await send(message)
            else:
                await _send_to_everybody(message)
    finally:
        _everybody.discard(send)


async def _send_to_everybody(message: Event) -> None:
    for send in list(_everybody):
        with contextlib.suppress(Exception):  # One that has gone keeps it from nobody else.
            await send(message)


async def _async_plaintext(scope: Event, receive: Receive, send: Send, number: str) -> None:
    await _answer(send, 200, _HELLO, [_ASYNC_TEXT, _ASYNC_HELLO_LENGTH])


async def _async_json(scope: Event, receive: Receive, send: Send, number: str) -> None:
    body = json.dumps({"message": "Hello, world!"}).encode()
    await _answer(send, 200, body, [_ASYNC_JSON, (b"content-length", b"%d" % len(body))])


async def _async_echo(scope: Event, receive: Receive, send: Send, number: str) -> None:
    chunks = _whole(number, 1, _MOST_CHUNKS) if number else 0
    event = await receive()
    body = event["body"]
    while event.get("more_body"):
        event = await receive()
        body += event["body"]
    kind = dict(scope["headers"]).get(b"content-type", b"application/octet-stream")
    if chunks:
        size = len(body) // chunks + 1
        pieces = (body[start : start + size] for start in range(0, len(body), size))
        await _pieces_sent(send, [(b"content-type", kind)], pieces)
        return
    await _answer(send, 200, body, [(b"content-type", kind), (b"content-length", b"%d" % len(body))])


async def _async_index(scope: Event, receive: Receive, send: Send, number: str) -> None:
    await _async_text(send, 200, _INDEX)


async def _async_bytes(scope: Event, receive: Receive, send: Send, number: str) -> None:
    size = _whole(number, 0, _MOST_BYTES)
    headers = [_ASYNC_BINARY, (b"content-length", b"%d" % size)]
    if size <= _MOST_IN_ONE_PIECE:
        await _answer(send, 200, _pattern(size), headers)
    else:
        await _pieces_sent(send, headers, _pieces(size))


async def _async_stream(scope: Event, receive: Receive, send: Send, number: str) -> None:
    count = _whole(number, 0, _MOST_CHUNKS)
    await _pieces_sent(send, [_ASYNC_BINARY], (_KIBIBYTE for _ in range(count)))


async def _async_sleep(scope: Event, receive: Receive, send: Send, number: str) -> None:
    await _pause(_milliseconds(number))
    await _async_text(send, 200, b"slept\n")


async def _async_cpu(scope: Event, receive: Receive, send: Send, number: str) -> None:
    _compute(_milliseconds(number))
    await _async_text(send, 200, b"computed\n")


async def _async_headers(scope: Event, receive: Receive, send: Send, number: str) -> None:
    fields = _async_fields(_whole(number, 0, _MOST_FIELDS))
    await _answer(send, 200, _KIBIBYTE, [_ASYNC_BINARY, _ASYNC_KIBIBYTE_LENGTH, *fields])


async def _async_status(scope: Event, receive: Receive, send: Send, number: str) -> None:
    code = _whole(number, 200, 599)
    if code in (204, 304):
        await _answer(send, code, b"", [])
    else:
        await _async_text(send, code, f"{code} {_phrase(code)}\n".encode())


async def _async_sse(scope: Event, receive: Receive, send: Send, number: str) -> None:
    count = _whole(number, 0, _MOST_CHUNKS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for index in range(count):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % index, "more_body": True})
        await _pause(0.01)
    await send({"type": "http.response.body"})


async def _pause(seconds: float) -> None:
    # Not at the top: to WSGI it would only be 8 MB of memory.
    import asyncio

    await asyncio.sleep(seconds)


async def _async_text(send: Send, status: int, body: bytes) -> None:
    await _answer(send, status, body, [_ASYNC_TEXT, (b"content-length", b"%d" % len(body))])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _pieces_sent(send: Send, headers: list[tuple[bytes, bytes]], pieces: Iterable[bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


@lru_cache(maxsize=8)
def _pattern(size: int) -> bytes:
    """`size` bytes in which each byte tells its offset modulo 64."""
    return (_ALPHABET * (size // len(_ALPHABET) + 1))[:size]


def _pieces(size: int) -> Iterator[bytes]:
    piece = _pattern(_MOST_IN_ONE_PIECE)
    for _ in range(size // len(piece)):
        yield piece
    yield piece[: size % len(piece)]


@lru_cache(maxsize=64)
def _fields(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"X-Header-{index}", f"value-of-header-{index}") for index in range(1, count + 1))


@lru_cache(maxsize=64)
def _async_fields(count: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode(), value.encode()) for name, value in _fields(count))


def _whole(text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most:
        return int(text)
    raise _OutOfRange(f"expected a whole number from {least} to {most}")


def _milliseconds(text: str) -> float:
    """The seconds that `text`, a number of milliseconds, means."""
    digits = text.replace(".", "", 1)
    if digits.isascii() and digits.isdigit() and len(text) <= 12 and float(text) <= _MOST_MILLISECONDS:
        return float(text) / 1000
    raise _OutOfRange(f"expected a number of milliseconds from 0 to {_MOST_MILLISECONDS}")


class _OutOfRange(Exception):
    """A number in a path that the path does not take."""


_everybody: set[Send] = set()
_MOST_BYTES = 1 << 30
_MOST_IN_ONE_PIECE = 1 << 22
_MOST_CHUNKS = 1 << 20
_MOST_MILLISECONDS = 60_000
_MOST_FIELDS = 1000
_KNOWN_STATUSES = frozenset(status.value for status in HTTPStatus)

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-\n"
_HELLO = b"Hello, world!"
_HELLO_LENGTH = ("Content-Length", str(len(_HELLO)))
_KIBIBYTE = _pattern(1024)
_KIBIBYTE_LENGTH = ("Content-Length", str(len(_KIBIBYTE)))
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_JSON = ("Content-Type", "application/json")
_BINARY = ("Content-Type", "application/octet-stream")
_ASYNC_HELLO_LENGTH = (b"content-length", b"%d" % len(_HELLO))
_ASYNC_KIBIBYTE_LENGTH = (b"content-length", b"%d" % len(_KIBIBYTE))
_ASYNC_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_ASYNC_JSON = (b"content-type", b"application/json")
_ASYNC_BINARY = (b"content-type", b"application/octet-stream")
_INDEX = f"""Targets for load tests:
/plaintext   {_HELLO.decode()}
/json        a small JSON object, serialised for each request
/bytes/N     N bytes with a Content-Length; N from 0 to {_MOST_BYTES}
/stream/N    N chunks of 1024 bytes from a generator, without a Content-Length; N from 0 to {_MOST_CHUNKS}
/sleep/MS    blocks for MS milliseconds, without the CPU; MS from 0 to {_MOST_MILLISECONDS}, fractions allowed
/cpu/MS      computes in pure Python for MS milliseconds of CPU time; likewise
/echo        the request's body
/headers/N   N header fields beside Content-Type and Content-Length, and 1024 bytes; N from 0 to {_MOST_FIELDS}
/status/N    an answer with status N, from 200 to 599
""".encode()

_ROUTES: dict[str, Route] = {
    "/plaintext": _plaintext,
    "/json": _json,
    "/echo": _echo,
    "/": _index,
    "": _index,
}
_NUMBERED_ROUTES: dict[str, NumberedRoute] = {
    "bytes": _bytes,
    "stream": _stream,
    "sleep": _sleep,
    "cpu": _cpu,
    "headers": _headers,
    "status": _status,
}
_ASYNC_ROUTES: dict[str, AsyncRoute] = {
    "": _async_index,
    "plaintext": _async_plaintext,
    "json": _async_json,
    "echo": _async_echo,
    "bytes": _async_bytes,
    "stream": _async_stream,
    "sleep": _async_sleep,
    "cpu": _async_cpu,
    "headers": _async_headers,
    "status": _async_status,
    "sse": _async_sse,
}
