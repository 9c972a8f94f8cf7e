"""A Quart application: sessions, forms, streams, work in the background, a chat, and work around the server's life."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import events
from quart import Quart, Response, abort, jsonify, make_response, request, session, websocket

app = Quart(__name__)
app.secret_key = "for tests only"
app.config["MAX_CONTENT_LENGTH"] = 1 << 26
started: list[str] = []
Send = Callable[[Any], Awaitable[None]]


class Stamp:
    """Adds a header to responses and to what WebSockets are accepted with."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        async def stamped(message: dict[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message["headers"], (b"x-stamp", scope["path"].encode())]
            await send(message)

        await self._app(scope, receive, stamped)


app.asgi_app = Stamp(app.asgi_app)  # type: ignore[method-assign]


@app.before_serving
async def begin() -> None:
    started.append("hello from the lifespan")


@app.after_serving
async def end() -> None:
    print("the lifespan ends", flush=True)


@app.get("/")
async def front() -> dict[str, str]:
    return {"greeting": started[0], "thread": threading.current_thread().name}


@app.get("/thread/<key>")
def in_a_thread(key: str) -> dict[str, list[str]]:
    events.record(key, "in a thread")
    events.wait_gate(key)
    return {"threads": [threading.current_thread().name]}


@app.get("/login")
async def login_form() -> str:
    return '<form method="post"><input name="user"><input name="password"></form>'


@app.post("/login")
async def login() -> dict[str, str]:
    form = await request.form
    if form["password"] != "right":
        abort(401)
    session["user"] = form["user"]
    return {"user": form["user"]}


@app.post("/logout")
async def logout() -> Response:
    session.clear()
    return jsonify(None)


@app.get("/whoami")
async def whoami() -> dict[str, str | None]:
    return {"user": session.get("user")}


@app.post("/upload")
async def upload() -> dict[str, object]:
    file, note = (await request.files)["file"], (await request.form)["note"]
    digest, size = hashlib.sha256(), 0
    while block := file.read(1 << 16):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "note": note, "size": size, "sha256": digest.hexdigest()}


@app.put("/upload")
async def upload_raw() -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    async for block in request.body:
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/stream/<key>")
async def stream(key: str) -> tuple[AsyncIterator[str], int, dict[str, str]]:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.to_thread(events.wait_gate, key)
        yield "last\n"

    return lines(), 200, {"Content-Type": "text/plain"}


@app.get("/quiet/<key>")
async def quiet(key: str) -> Response:
    async def sent() -> AsyncIterator[str]:
        try:
            yield "data: 0\n\n"
            await asyncio.Event().wait()
        finally:
            events.record(key, "the events end")

    response = await make_response(sent(), {"Content-Type": "text/event-stream"})
    assert isinstance(response, Response)
    response.timeout = None
    return response


@app.post("/later/<key>")
async def later(key: str) -> Response:
    def work() -> None:
        events.wait_gate(key)
        events.record(key, "later")

    app.add_background_task(work)
    return jsonify(True)


@app.post("/gate/<key>")
async def gate(key: str) -> Response:
    events.open_gate(key)
    return jsonify(None)


@app.get("/recorded/<key>")
async def recorded(key: str) -> Response:
    return jsonify(events.recorded(key))


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("this endpoint is broken")


rooms: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


def say(room: str, text: str) -> None:
    for queue in rooms[room]:
        queue.put_nowait(text)


async def _pass_on(queue: asyncio.Queue[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            await websocket.send(await queue.get())


@app.websocket("/chat/<room>")
async def chat(room: str) -> None:
    name = session.get("user")
    if name is None:
        abort(401)
    await websocket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue()
    passing = asyncio.ensure_future(_pass_on(queue))
    rooms[room].add(queue)
    say(room, f"{name} joined")
    left = ""
    try:
        while (text := await websocket.receive()) != "/quit":
            say(room, f"{name}: {text}")
        left = "by quitting"
        await websocket.close(4000, "goodbye")
    finally:
        passing.cancel()
        rooms[room].discard(queue)
        say(room, f"{name} left {left}".rstrip())
