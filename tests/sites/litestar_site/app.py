"""A Litestar application: sessions, CSRF tokens, forms, streams, dependencies, work in the background, a chat."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import events
from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, put, websocket
from litestar.background_tasks import BackgroundTask
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.config.csrf import CSRFConfig
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders, State, UploadFile
from litestar.di import Provide
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.handlers.base import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class Stamp(ASGIMiddleware):
    """Adds a header to responses and to what WebSockets are accepted with."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                MutableScopeHeaders.from_message(message)["X-Stamp"] = scope["path"]
            await send(message)

        await next_app(scope, receive, stamped)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Opens what requests share."""
    app.state.greeting = "hello from the lifespan"
    yield
    print("the lifespan ends", flush=True)


@dataclass
class Credentials:
    user: str
    password: str


@dataclass
class Sent:
    note: str
    file: UploadFile


def thread() -> str:
    """A dependency that runs in a thread."""
    return threading.current_thread().name


def logged_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard that refuses who has not logged in."""
    if "user" not in connection.session:
        raise NotAuthorizedException("log in first")


@get("/")
async def front(state: State) -> dict[str, str]:
    return {"greeting": state.greeting, "thread": threading.current_thread().name}


@get("/thread/{key:str}", dependencies={"dependency": Provide(thread, sync_to_thread=True)}, sync_to_thread=True)
def in_a_thread(key: str, dependency: str) -> dict[str, list[str]]:
    events.record(key, "in a thread")
    events.wait_gate(key)
    return {"threads": [dependency, threading.current_thread().name]}


@get("/login", media_type=MediaType.HTML)
async def login_form() -> str:
    return '<form method="post"><input name="user"><input name="password"></form>'


@post("/login", status_code=200)
async def login(
    data: Annotated[Credentials, Body(media_type=RequestEncodingType.URL_ENCODED)], request: Request[Any, Any, Any]
) -> dict[str, str]:
    if data.password != "right":
        raise NotAuthorizedException("wrong password")
    request.set_session({"user": data.user})
    return {"user": data.user}


@post("/logout", status_code=200)
async def logout(request: Request[Any, Any, Any]) -> None:
    request.clear_session()


@get("/whoami")
async def whoami(request: Request[Any, Any, Any]) -> dict[str, str | None]:
    return {"user": request.session.get("user")}


@post("/upload", status_code=200)
async def upload(data: Annotated[Sent, Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    while block := await data.file.read(1 << 16):
        digest.update(block)
        size += len(block)
    return {"name": data.file.filename, "note": data.note, "size": size, "sha256": digest.hexdigest()}


@put("/upload")
async def upload_raw(request: Request[Any, Any, Any]) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    async for block in request.stream():
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@get("/stream/{key:str}")
async def stream(key: str) -> Stream:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.to_thread(events.wait_gate, key)
        yield "last\n"

    return Stream(lines(), media_type=MediaType.TEXT)


@get("/quiet/{key:str}", sync_to_thread=False)
def quiet(key: str) -> ServerSentEvent:
    async def sent() -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            events.record(key, "the events end")

    return ServerSentEvent(sent())


@post("/later/{key:str}", status_code=200)
async def later(key: str) -> Response[bool]:
    async def work() -> None:
        await asyncio.to_thread(events.wait_gate, key)
        events.record(key, "later")

    return Response(True, background=BackgroundTask(work))


@post("/gate/{key:str}", status_code=200, exclude_from_csrf=True)
async def gate(key: str) -> None:
    events.open_gate(key)


@get("/recorded/{key:str}")
async def recorded(key: str) -> list[str]:
    return events.recorded(key)


@get("/broken")
async def broken() -> None:
    raise RuntimeError("this endpoint is broken")


@websocket("/chat/{room:str}", guards=[logged_in])
async def chat(socket: WebSocket[Any, Any, Any], room: str, channels: ChannelsPlugin) -> None:
    name = socket.session["user"]
    await socket.accept()

    async def pass_on(text: bytes) -> None:
        with contextlib.suppress(OSError, WebSocketDisconnect):
            await socket.send_text(text.decode())

    async with channels.start_subscription(room) as subscriber:
        async with subscriber.run_in_background(pass_on, join=False):
            await channels.wait_published(f"{name} joined", room)
            try:
                while (text := await socket.receive_text()) != "/quit":
                    await channels.wait_published(f"{name}: {text}", room)
                left = "by quitting"
            except WebSocketDisconnect as disconnect:
                left = f"with {disconnect.code}"
        if left == "by quitting":
            await socket.close(4000, "goodbye")
    await channels.wait_published(f"{name} left {left}", room)


sessions = ServerSideSessionConfig()
app = Litestar(
    route_handlers=[
        front,
        in_a_thread,
        login_form,
        login,
        logout,
        whoami,
        upload,
        upload_raw,
        stream,
        quiet,
        later,
        gate,
        recorded,
        broken,
        chat,
    ],
    middleware=[Stamp(), sessions.middleware],
    csrf_config=CSRFConfig(secret="for tests only"),
    plugins=[ChannelsPlugin(MemoryChannelsBackend(), arbitrary_channels_allowed=True)],
    lifespan=[lifespan],
    request_max_body_size=1 << 26,
)
