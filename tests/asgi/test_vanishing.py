"""Clients that leave at any moment: each application hears of it, and nothing is left of any of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import ServeAsgi
from raw_client import get, request
from ws_client import frame, handshake
from wsgi_site import Site, body_json, wait_until

CLIENTS = 1000
AT_ONCE = 100
LONGEST = 0.25
"""Seconds that a client stays at most."""
MEMORY = 24 * 1024
"""Kilobytes that the server may have grown by, whatever it was asked."""

APP = """
import asyncio
import json
from collections import Counter

from ironbridge import ClientDisconnected

begun, told, ended = Counter(), Counter(), Counter()


async def app(scope, receive, send):
    assert scope["type"] in ("http", "websocket")
    kind = scope["path"].strip("/")
    if kind == "open_gate":
        kind = "facts"
    if kind == "facts":
        facts = {"begun": begun, "told": told, "ended": ended, "tasks": len(asyncio.all_tasks())}
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(facts).encode()})
        return
    begun[kind] += 1
    try:
        await KINDS[kind](kind, receive, send)
    finally:
        ended[kind] += 1


async def answer(kind, send, event):
    # Its client may have left before the application was called: then the answer's first event tells so.
    try:
        await send(event)
    except ClientDisconnected:
        told[kind] += 1
        raise


async def events(kind, receive, send):
    headers = [(b"content-type", b"text/event-stream")]
    await answer(kind, send, {"type": "http.response.start", "status": 200, "headers": headers})

    async def listen():
        while (await receive())["type"] != "http.disconnect":
            pass
        told[kind] += 1

    listening = asyncio.ensure_future(listen())
    try:
        while not listening.done():
            await send({"type": "http.response.body", "body": b"data: x\\\\n\\\\n" * 100, "more_body": True})
            await asyncio.sleep(0.01)
    finally:
        await asyncio.wait_for(listening, 10)


async def upload(kind, receive, send):
    while (event := await receive())["type"] == "http.request":
        if not event["more_body"]:
            raise AssertionError("the upload never ends")
    told[kind] += 1


async def waiting(kind, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass
    told[kind] += 1


async def websocket(kind, receive, send):
    await receive()
    await answer(kind, send, {"type": "websocket.accept"})
    try:
        while (event := await receive())["type"] == "websocket.receive":
            for _ in range(10):
                await send({"type": "websocket.send", "bytes": event["bytes"]})
    except OSError:
        event = await receive()
        while event["type"] == "websocket.receive":
            event = await receive()
    assert event["type"] == "websocket.disconnect"
    told[kind] += 1


async def undecided(kind, receive, send):
    await receive()
    assert (await receive())["type"] == "websocket.disconnect"
    told[kind] += 1


KINDS = {"events": events, "upload": upload, "waiting": waiting, "websocket": websocket, "undecided": undecided}
"""
KINDS = ("events", "upload", "waiting", "websocket", "undecided")


def _opening(kind: str) -> bytes:
    if kind in ("websocket", "undecided"):
        return handshake(f"/{kind}")
    if kind == "upload":
        return request("POST", "/upload", ("Content-Length", "1000000000"))
    return get(f"/{kind}")


def _more(kind: str) -> bytes:
    return {"upload": b"x" * 50_000, "websocket": frame(2, b"y" * 5_000)}.get(kind, b"")


async def _visit(address: tuple[str, int], kind: str, chance: random.Random, ready: asyncio.Semaphore) -> None:
    """One client: it asks, takes or sends something, and is gone."""
    async with ready:
        reader, writer = await asyncio.open_connection(*address)
        stays, resets, reads = chance.uniform(0, LONGEST), chance.random() < 0.5, chance.random() < 0.7
        end = asyncio.get_running_loop().time() + stays
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            writer.write(_opening(kind))
            while (left := end - asyncio.get_running_loop().time()) > 0:
                writer.write(_more(kind))
                if reads:
                    await asyncio.wait_for(reader.read(65536), min(left, 0.02))
                else:
                    await asyncio.sleep(min(left, 0.02))
        if resets:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort() if resets else writer.close()


async def _visits(address: tuple[str, int], seed: int) -> Counter[str]:
    chance = random.Random(seed)
    ready = asyncio.Semaphore(AT_ONCE)
    kinds = [chance.choice(KINDS) for _ in range(CLIENTS)]
    await asyncio.gather(*(_visit(address, kind, random.Random(chance.random()), ready) for kind in kinds))
    return Counter(kinds)


def _facts(site: Site) -> dict[str, Any]:
    facts: dict[str, Any] = body_json(site.fetch(get("/facts")))
    return facts


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_thousand_clients_that_vanish_leave_nothing_behind(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi("--no-supervisor", f"--loop={loop}", code=APP)
    pid = site.server.pid
    assert isinstance(site.address, tuple)
    # The first visits fill what stays: pools, caches, buffers of the allocators.
    asyncio.run(_visits(site.address, seed=1))
    wait_until(lambda: _facts(site)["tasks"] == 1, "the first visitors' tasks have ended")
    wait_until(lambda: site.server.process.poll() is None and _descriptors(pid) < 60, "their sockets are closed")
    before, memory = _descriptors(pid), _memory(pid)
    for seed in (2, 3):
        came = asyncio.run(_visits(site.address, seed))
        assert set(came) == set(KINDS)
    wait_until(lambda: _facts(site)["tasks"] == 1, "all tasks have ended")
    facts = _facts(site)
    assert facts["begun"] == facts["told"] == facts["ended"], facts
    # A client may leave before its request is whole.
    assert sum(facts["begun"].values()) > 2.5 * CLIENTS
    wait_until(lambda: _descriptors(pid) <= before, "all sockets are closed")
    assert _memory(pid) < memory + MEMORY
    log = site.server.log()
    assert "ERROR" not in log and "Traceback" not in log, log
