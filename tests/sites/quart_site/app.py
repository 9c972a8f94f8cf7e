"""A Quart application: forms, JSON, a stream, and work around the server's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quart import Quart, request

app = Quart(__name__)
started: list[str] = []


@app.before_serving
async def begin() -> None:
    started.append("begun")


@app.get("/")
async def front() -> dict[str, object]:
    return {"started": started}


@app.post("/form")
async def form() -> dict[str, str]:
    return dict(await request.form)


@app.get("/stream")
async def stream() -> tuple[AsyncIterator[bytes], int, dict[str, str]]:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"line %d\n" % number
            await asyncio.sleep(0.01)

    return lines(), 200, {"Content-Type": "text/plain"}
