"""What is asked of the servers: one row of the table each."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from benches.load import Load, Request


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        key: Its name in options and in JSON.
        title: Its name in tables.
        app: The application, `module:attribute`.
        load: What clients do.
        latency_of: The request whose latencies count; "" for all.
        heavy: A request costs milliseconds: no instructions are counted.
        extra: Servers measured in this row only.
        without: Servers not measured in this row.
        interface: What the application speaks, and with it which servers are asked.
    """

    key: str
    title: str
    app: str
    load: Load
    latency_of: str = ""
    heavy: bool = False
    extra: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    interface: str = "wsgi"


def get(path: str, *fields: str) -> bytes:
    """A GET request with a Host header and further header lines."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode("latin-1")


def post(path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
    """A POST request."""
    fields = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*fields, "", ""]).encode("latin-1") + body


_TARGET = "target_app:wsgi"
_ASYNC_TARGET = "target_app:asgi"

# Nineteen fields as a browser behind a proxy sends them; with Host twenty.
_BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: http://localhost/books/?page=3",
    "Cookie: sessionid=4v8m2q0z7x1c9n5b3l6k; csrftoken=Zb1Yc2Xd3We4Vf5Ug6Th7Si8Rj9Qk0Pl",
    "Connection: keep-alive",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-User: ?1",
    "DNT: 1",
    "Priority: u=0, i",
    "Cache-Control: max-age=0",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: www.example.org",
    "X-Request-Id: 6f1e0c9a-8d6b-4c55-9a43-2b7f0e1d8c21",
)


def _one(path: str, *fields: str) -> tuple[Request, ...]:
    return (Request("all", get(path, *fields)),)


def _varied(path: str) -> tuple[Request, ...]:
    """Requests that differ in their first and last header lines, as those of many clients behind one proxy do."""
    fields = list(_BROWSER)
    return tuple(
        Request(f"{number}", get(path, fields[0] + f" ({number})", *fields[1:], f"X-Number: {number}"))
        for number in range(32)
    )


def _echo(path: str) -> tuple[Request, ...]:
    return (Request("all", post(path, b"x" * 10_240)),)


def _item() -> bytes:
    return post("/items", b'{"name": "tea", "price": 2.5, "tags": ["hot", "green"]}', "application/json")


def _frame(payload: bytes, *, compressed: bool = False) -> tuple[Request, ...]:
    """A message as a client sends it: masked, with zeros, which cost a server the same as any other mask."""
    length = len(payload)
    size = struct.pack("!B", 0x80 | length) if length < 126 else struct.pack("!BH", 0xFE, length)
    return (Request("all", bytes([0xC2 if compressed else 0x82]) + size + bytes(4) + payload),)


def _websocket(path: str, frames: tuple[Request, ...], connections: int = 64, *fields: str, fan: bool = False) -> Load:
    fields = (*_HANDSHAKE, *fields)
    return Load(frames, connections, upgrade=get(path, *fields), fan=fan)


def _deflated(data: bytes) -> bytes:
    """As permessage-deflate has it (RFC 7692), in a form that needs no memory of what came before."""
    deflate = zlib.compressobj(wbits=-12)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _mixed(connections: int) -> Load:
    instant = Request("instant", get("/plaintext"), weight=9)
    return Load((instant, Request("slow", get("/sleep/50"))), connections)


_SMALL = b"twenty bytes of text"
_LARGE = b"".join(b'{"id": %d, "name": "number %d"}, ' % (number, number * 7919) for number in range(600))[:16_384]
_HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
_EVENTS = Load(_one("/sse/100"), 200)

ROWS = (
    Row("hello", "Hello", _TARGET, Load(_one("/plaintext"))),
    # With Content-Type and Content-Length ten.
    Row("headers", "20 request, 10 response headers, 1 KB", _TARGET, Load(_one("/headers/8", *_BROWSER))),
    Row("varied", "The same, other header lines each time", _TARGET, Load(_varied("/headers/8"))),
    Row("post", "POST 10 KB, echoed", _TARGET, Load(_echo("/echo"))),
    Row("megabyte", "1 MB response", _TARGET, Load(_one("/bytes/1048576"))),
    Row("flask", "Flask JSON", "app:app", Load(_one("/json"))),
    Row("django", "Django view with sqlite", "bench.wsgi:application", Load(_one("/db"))),
    Row("sleep", "sleep(0.005), 256 connections", _TARGET, Load(_one("/sleep/5"), 256), heavy=True),
    Row("mixed", "90 % instant, 10 % sleep(0.05), 48 connections", _TARGET, _mixed(48), "instant", heavy=True),
    Row("mixed-128", "90 % instant, 10 % sleep(0.05), 128 connections", _TARGET, _mixed(128), "instant", heavy=True),
    Row("cpu", "1 ms of computing", _TARGET, Load(_one("/cpu/1")), heavy=True, extra=("ironbridge-1",)),
    Row(
        "close",
        "A connection per request",
        _TARGET,
        Load(_one("/plaintext", "Connection: close"), close=True),
        extra=("uwsgi-close",),
        without=("uwsgi",),
    ),
    *(
        replace(row, interface="asgi", without=("freastal-asgi",) if row.load.upgrade else row.without)
        for row in (
            Row("asgi-hello", "ASGI hello", _ASYNC_TARGET, Load(_one("/plaintext"))),
            Row("asgi-headers", "ASGI, 20 and 10 headers, 1 KB", _ASYNC_TARGET, Load(_one("/headers/8", *_BROWSER))),
            Row("asgi-post", "ASGI, POST 10 KB, echoed", _ASYNC_TARGET, Load(_echo("/echo"))),
            Row("asgi-megabyte", "ASGI, 1 MB response", _ASYNC_TARGET, Load(_one("/bytes/1048576"))),
            Row("asgi-stream", "ASGI, 10 KB in chunks of 1 KB", _ASYNC_TARGET, Load(_one("/stream/10"))),
            Row("starlette", "Starlette JSON", "starlette_app:app", Load(_one("/json"))),
            Row("fastapi", "FastAPI JSON with a model", "fastapi_app:app", Load((Request("all", _item()),))),
            Row("asgi-echo", "ASGI, 10 KB echoed in chunks of 1 KB", _ASYNC_TARGET, Load(_echo("/echo/10"))),
            Row("sse", "100 server-sent events, 200 clients", _ASYNC_TARGET, _EVENTS, heavy=True),
            Row("ws-small", "WebSocket, 20 bytes echoed", _ASYNC_TARGET, _websocket("/ws", _frame(_SMALL))),
            Row("ws-large", "WebSocket, 16 KB echoed", _ASYNC_TARGET, _websocket("/ws", _frame(_LARGE))),
            Row(
                "ws-small-deflate",
                "The same, 20 bytes, deflate",
                _ASYNC_TARGET,
                _websocket("/ws", _frame(_deflated(_SMALL), compressed=True), 64, _DEFLATE),
            ),
            Row(
                "ws-large-deflate",
                "The same, 16 KB, deflate",
                _ASYNC_TARGET,
                _websocket("/ws", _frame(_deflated(_LARGE), compressed=True), 64, _DEFLATE),
            ),
            Row(
                "ws-fan",
                "WebSocket, to 500 clients",
                _ASYNC_TARGET,
                _websocket("/ws/all", _frame(_SMALL), 500, fan=True),
            ),
            Row("asgi-sleep", "asyncio.sleep(0.005), 256 connections", _ASYNC_TARGET, Load(_one("/sleep/5"), 256)),
        )
    ),
)
