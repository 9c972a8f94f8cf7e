"""A Starlette application: sessions, forms, streams, work in the background, a chat, one middleware for everything."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import events
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect


class Stamp:
    """Adds a header to responses and to what WebSockets are accepted with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                MutableHeaders(scope=message)["X-Stamp"] = scope["path"]
            await send(message)

        await self._app(scope, receive, send if scope["type"] == "lifespan" else stamped)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
    """Opens what requests share."""
    yield {"greeting": "hello from the lifespan"}
    print("the lifespan ends", flush=True)


async def front(request: Request) -> JSONResponse:
    return JSONResponse({"greeting": request.state.greeting, "thread": threading.current_thread().name})


def in_a_thread(request: Request) -> JSONResponse:
    key = request.path_params["key"]
    events.record(key, "in a thread")
    events.wait_gate(key)
    return JSONResponse({"threads": [threading.current_thread().name]})


class Login(HTTPEndpoint):
    """The form, and what becomes of it."""

    async def get(self, request: Request) -> HTMLResponse:
        return HTMLResponse('<form method="post"><input name="user"><input name="password"></form>')

    async def post(self, request: Request) -> JSONResponse:
        async with request.form() as form:
            if form["password"] != "right":
                return JSONResponse("wrong password", 401)
            request.session["user"] = form["user"]
        return JSONResponse({"user": request.session["user"]})


async def logout(request: Request) -> JSONResponse:
    request.session.clear()
    return JSONResponse(None)


async def whoami(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.session.get("user")})


class Upload(HTTPEndpoint):
    """Length and hash of a file in a form, or of the body itself."""

    async def post(self, request: Request) -> JSONResponse:
        digest, size = hashlib.sha256(), 0
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            while block := await file.read(1 << 16):
                digest.update(block)
                size += len(block)
            facts = {"name": file.filename, "note": form["note"]}
        return JSONResponse({**facts, "size": size, "sha256": digest.hexdigest()})

    async def put(self, request: Request) -> JSONResponse:
        digest, size = hashlib.sha256(), 0
        async for block in request.stream():
            digest.update(block)
            size += len(block)
        return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def stream(request: Request) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.to_thread(events.wait_gate, request.path_params["key"])
        yield "last\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def ticks(request: Request) -> StreamingResponse:
    async def sent() -> AsyncIterator[str]:
        try:
            for number in range(1_000_000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.01)
        finally:
            events.record(request.path_params["key"], "the events end")

    return StreamingResponse(sent(), media_type="text/event-stream")


async def quiet(request: Request) -> StreamingResponse:
    async def sent() -> AsyncIterator[str]:
        try:
            yield "data: 0\n\n"
            await asyncio.Event().wait()
        finally:
            events.record(request.path_params["key"], "the events end")

    return StreamingResponse(sent(), media_type="text/event-stream")


async def later(request: Request) -> JSONResponse:
    async def work(key: str) -> None:
        await run_in_threadpool(events.wait_gate, key)
        events.record(key, "later")

    return JSONResponse(True, background=BackgroundTask(work, request.path_params["key"]))


async def gate(request: Request) -> JSONResponse:
    events.open_gate(request.path_params["key"])
    return JSONResponse(None)


async def recorded(request: Request) -> JSONResponse:
    return JSONResponse(events.recorded(request.path_params["key"]))


async def broken(request: Request) -> JSONResponse:
    raise RuntimeError("this endpoint is broken")


rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


class Chat(WebSocketEndpoint):
    """A room for those who have logged in."""

    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        if "user" not in websocket.session:
            await websocket.send_denial_response(PlainTextResponse("log in first", 401))
            return
        await websocket.accept()
        rooms[websocket.path_params["room"]].add(websocket)
        await self._say(websocket, "joined")

    async def on_receive(self, websocket: WebSocket, text: str) -> None:
        if text == "/quit":
            await websocket.close(4000, "goodbye")
            rooms[websocket.path_params["room"]].discard(websocket)
            await self._say(websocket, "left by quitting")
        else:
            await self._say(websocket, text, ": ")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        room = rooms[websocket.path_params["room"]]
        if websocket in room:
            room.discard(websocket)
            await self._say(websocket, f"left with {close_code}")

    async def _say(self, websocket: WebSocket, text: str, link: str = " ") -> None:
        for member in list(rooms[websocket.path_params["room"]]):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await member.send_text(websocket.session["user"] + link + text)


app = Starlette(
    routes=[
        Route("/", front),
        Route("/thread/{key}", in_a_thread),
        Route("/login", Login),
        Route("/logout", logout, methods=["POST"]),
        Route("/whoami", whoami),
        Route("/upload", Upload),
        Route("/stream/{key}", stream),
        Route("/events/{key}", ticks),
        Route("/quiet/{key}", quiet),
        Route("/later/{key}", later, methods=["POST"]),
        Route("/gate/{key}", gate, methods=["POST"]),
        Route("/recorded/{key}", recorded),
        Route("/broken", broken),
        WebSocketRoute("/chat/{room}", Chat),
    ],
    middleware=[
        Middleware(Stamp),
        Middleware(SessionMiddleware, secret_key="for tests only"),
        Middleware(GZipMiddleware),
    ],
    lifespan=lifespan,
)
