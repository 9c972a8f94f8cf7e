"""A header for responses, and for what WebSockets are accepted with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from channels.middleware import BaseMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def stamp(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Adds the header to responses."""

    def stamped(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response["X-Stamp"] = request.path
        return response

    async def asynchronous(request: HttpRequest) -> HttpResponse:
        return stamped(request, await get_response(request))

    def synchronous(request: HttpRequest) -> HttpResponse:
        return stamped(request, get_response(request))

    return asynchronous if inspect.iscoroutinefunction(get_response) else synchronous


class StampWebSockets(BaseMiddleware):
    """Adds the header to what WebSockets are accepted with."""

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def stamped(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", ()), (b"x-stamp", scope["path"].encode())]
            await send(message)

        await super().__call__(scope, receive, stamped)
