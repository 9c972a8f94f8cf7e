"""A FastAPI application with a bit of everything: models, dependencies, threads, files, streams, background work, middleware."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    """Opens what requests share."""
    yield {"greeting": "hello from the lifespan", "done": []}


app = FastAPI(lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=100_000)


class Stamp(BaseHTTPMiddleware):
    """Adds a header, and so runs the application in a task group of its own."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["X-Stamp"] = request.url.path
        return response


app.add_middleware(Stamp)


def session() -> Iterator[str]:
    """A dependency that runs in a thread, before and after the endpoint."""
    yield threading.current_thread().name


@app.get("/")
async def front(request: Request) -> dict[str, str]:
    return {"greeting": request.state.greeting}


@app.post("/items")
async def create(item: Item) -> Item:
    return Item(name=item.name.upper(), price=item.price * 2, tags=[*item.tags, "seen"])


@app.get("/thread")
def in_a_thread(name: Annotated[str, Depends(session)]) -> dict[str, object]:
    return {"dependency": name, "is main": threading.current_thread() is threading.main_thread()}


@app.post("/login")
async def login(user: Annotated[str, Form()], password: Annotated[str, Form()], response: Response) -> dict[str, str]:
    if password != "right":
        raise HTTPException(401, "wrong password")
    response.set_cookie("user", user)
    return {"user": user}


@app.get("/whoami")
async def whoami(request: Request) -> dict[str, str | None]:
    return {"user": request.cookies.get("user")}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    while block := await file.read(1 << 16):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"line {number}\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    async def sent() -> AsyncIterator[str]:
        try:
            for number in range(1_000_000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.01)
        finally:
            request.state.done.append("events")

    return StreamingResponse(sent(), media_type="text/event-stream")


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__))


@app.post("/later")
async def later(tasks: BackgroundTasks, request: Request) -> dict[str, bool]:
    async def work() -> None:
        await asyncio.sleep(0.05)
        request.state.done.append("later")

    tasks.add_task(work)
    return {"accepted": True}


@app.get("/done")
async def done(request: Request) -> list[str]:
    return list(request.state.done)


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("this endpoint is broken")
