"""A FastAPI application with a bit of everything: models, dependencies, threads, files, streams, sessions, a chat."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import events
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    Form,
    HTTPException,
    Request,
    Response,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    """Opens what requests share."""
    yield {"greeting": "hello from the lifespan"}
    print("the lifespan ends", flush=True)


app = FastAPI(lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=100_000)
app.add_middleware(SessionMiddleware, secret_key="for tests only")


class Stamp(BaseHTTPMiddleware):
    """Adds a header, and so runs the application in a task group of its own."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["X-Stamp"] = request.url.path
        return response


class StampWebSockets:
    """Adds the header to what WebSockets are accepted with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "websocket.accept":
                MutableHeaders(scope=message)["X-Stamp"] = scope["path"]
            await send(message)

        await self._app(scope, receive, stamped if scope["type"] == "websocket" else send)


app.add_middleware(Stamp)
app.add_middleware(StampWebSockets)


def thread() -> Iterator[str]:
    """A dependency that runs in a thread, before and after the endpoint."""
    yield threading.current_thread().name


def user(connection: HTTPConnection) -> str | None:
    """Who has logged in, for requests and for WebSockets."""
    return connection.session.get("user")


User = Annotated[str | None, Depends(user)]


@app.get("/")
async def front(request: Request) -> dict[str, str]:
    return {"greeting": request.state.greeting, "thread": threading.current_thread().name}


@app.post("/items")
async def create(item: Item) -> Item:
    return Item(name=item.name.upper(), price=item.price * 2, tags=[*item.tags, "seen"])


@app.get("/thread/{key}")
def in_a_thread(key: str, dependency: Annotated[str, Depends(thread)]) -> dict[str, list[str]]:
    events.record(key, "in a thread")
    events.wait_gate(key)
    return {"threads": [dependency, threading.current_thread().name]}


@app.get("/login")
async def form() -> Response:
    return Response('<form method="post"><input name="user"><input name="password"></form>', media_type="text/html")


@app.post("/login")
async def login(
    name: Annotated[str, Form(alias="user")], password: Annotated[str, Form()], request: Request
) -> dict[str, str]:
    if password != "right":
        raise HTTPException(401, "wrong password")
    request.session["user"] = name
    return {"user": name}


@app.post("/logout")
async def logout(request: Request) -> None:
    request.session.clear()


@app.get("/whoami")
async def whoami(name: User) -> dict[str, str | None]:
    return {"user": name}


@app.post("/upload")
async def upload(note: Annotated[str, Form()], file: UploadFile) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    while block := await file.read(1 << 16):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "note": note, "size": size, "sha256": digest.hexdigest()}


@app.put("/upload")
async def upload_raw(request: Request) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    async for block in request.stream():
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/stream/{key}")
async def stream(key: str) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.to_thread(events.wait_gate, key)
        yield "last\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events/{key}", response_class=EventSourceResponse)
async def ticks(key: str) -> AsyncIterator[ServerSentEvent]:
    try:
        for number in range(1_000_000):
            yield ServerSentEvent(data=number)
            await asyncio.sleep(0.01)
    finally:
        events.record(key, "the events end")


@app.get("/quiet/{key}", response_class=EventSourceResponse)
async def quiet(key: str) -> AsyncIterator[ServerSentEvent]:
    try:
        yield ServerSentEvent(data=0)
        await asyncio.Event().wait()
    finally:
        events.record(key, "the events end")


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__))


@app.post("/later/{key}")
async def later(key: str, tasks: BackgroundTasks) -> bool:
    def work() -> None:
        events.wait_gate(key)
        events.record(key, "later")

    tasks.add_task(work)
    return True


@app.post("/gate/{key}")
async def gate(key: str) -> None:
    events.open_gate(key)


@app.get("/recorded/{key}")
async def recorded(key: str) -> list[str]:
    return events.recorded(key)


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("this endpoint is broken")


rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


def member(name: User) -> str:
    """Refuses who has not logged in; runs in a thread."""
    if name is None:
        raise WebSocketException(4003, "log in first")
    return name


async def say(room: str, text: str) -> None:
    for websocket in list(rooms[room]):
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await websocket.send_text(text)


@app.websocket("/chat/{room}")
async def chat(websocket: WebSocket, room: str, name: Annotated[str, Depends(member)]) -> None:
    await websocket.accept()
    rooms[room].add(websocket)
    await say(room, f"{name} joined")
    try:
        while (text := await websocket.receive_text()) != "/quit":
            await say(room, f"{name}: {text}")
        left = "by quitting"
        await websocket.close(4000, "goodbye")
    except WebSocketDisconnect as disconnect:
        left = f"with {disconnect.code}"
    finally:
        rooms[room].discard(websocket)
    await say(room, f"{name} left {left}")
