"""`pre_request` and `post_request` around an ASGI application: HTTP requests, as Gunicorn's worker has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .arbiter import Worker
from .request import Request, Response
from .values import arity

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Event, Receive, Send], Awaitable[None]]
Hook = Callable[..., object]


def around_asgi(app: App, worker: Worker, before: Hook | None, after: Hook | None) -> App:
    """The application with hooks around it. They are called on the event loop; what they do there holds it up."""
    counts = arity(after) if after is not None else 0

    async def surrounded(scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request.of_scope(scope)
        response = Response()
        worker.nr += 1
        try:
            if before is not None:
                before(worker, request)
            await app(scope, receive, _recording(send, response) if counts == 4 else send)
        finally:
            if after is not None:
                environ = request.environ() if counts > 2 else {}
                _end(worker, after, (worker, request, environ, response)[:counts])

    return surrounded


def _recording(send: Send, response: Response) -> Send:
    async def recorded(event: Event) -> None:
        await send(event)
        if event["type"] == "http.response.start":
            headers = [(_text(name), _text(value)) for name, value in event.get("headers") or ()]
            response.begin(event["status"], headers)
        elif event["type"] == "http.response.body":
            response.count(event.get("body") or b"")

    return recorded


def _end(worker: Worker, after: Hook, arguments: tuple[object, ...]) -> None:
    try:
        after(*arguments)
    except Exception:
        worker.log.exception("Exception in post_request hook")


def _text(data: bytes) -> str:
    return bytes(data).decode("latin-1")
