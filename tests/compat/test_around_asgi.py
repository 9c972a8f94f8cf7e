"""pre_request and post_request around ASGI applications."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from ironbridge._compat import config

Load = Callable[..., config.Configuration]

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/a b",
    "raw_path": b"/a%20b",
    "query_string": b"c=d",
    "http_version": "1.1",
    "scheme": "https",
    "headers": [(b"x-one", b"1"), (b"host", b"h")],
    "client": ("10.0.0.1", 77),
}
HOOKS = """
seen = []
def pre_request(worker, req): seen.append(req)
def post_request(worker, req, environ, resp): seen.append((req, environ, resp))
"""


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-two", b"2"), (b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"llo"})


def run(load: Load, text: str, app: Any = hello, scope: Any = SCOPE) -> tuple[list[Any], list[Any]]:
    """What the hooks have seen, and what was sent."""
    hooks = load(text).hooks
    assert hooks is not None
    wrapped: Any = hooks.wrap(app, "asgi")
    assert inspect.iscoroutinefunction(wrapped)
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> Any:
        return {"type": "http.request"}

    seen = next(iter(hooks._functions.values())).__globals__["seen"]  # type: ignore[attr-defined]
    try:
        asyncio.run(wrapped(scope, receive, send))
    finally:
        run.seen = seen  # type: ignore[attr-defined]
    return seen, sent


def test_request_and_response_are_described(load: Load) -> None:
    (before, (after, environ, resp)), sent = run(load, HOOKS)
    assert before is after
    assert (before.method, before.uri, before.path, before.query) == ("GET", "/a%20b?c=d", "/a%20b", "c=d")
    assert (before.version, before.scheme, before.remote_addr) == ((1, 1), "https", ("10.0.0.1", 77))
    assert before.headers == [("X-ONE", "1"), ("HOST", "h")]
    assert (resp.status, resp.status_code, resp.sent, resp.response_length) == (200, 200, 5, 5)
    assert resp.headers == [("x-two", "2"), ("content-length", "5")]
    assert environ["HTTP_X_ONE"] == "1"
    assert environ["PATH_INFO"] == "/a%20b"
    assert len(sent) == 3


def test_an_application_that_raises_is_a_request_that_has_ended(load: Load) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(load, HOOKS, failing)
    assert len(run.seen) == 2  # type: ignore[attr-defined]


def test_other_scopes_pass_by(load: Load) -> None:
    for kind in ("lifespan", "websocket"):
        seen, sent = run(load, HOOKS, hello, {"type": kind})
        assert seen == []
        assert len(sent) == 3


def test_a_hook_of_two_arguments(load: Load) -> None:
    seen, _ = run(load, "seen = []\ndef post_request(worker, req): seen.append(worker.nr)")
    assert seen == [1]


def test_pre_request_alone(load: Load) -> None:
    seen, sent = run(load, "seen = []\ndef pre_request(worker, req): seen.append(req.method)")
    assert seen == ["GET"]
    assert len(sent) == 3


def test_an_exception_in_post_request_is_logged(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    run(load, "seen = []\ndef post_request(worker, req): 1 / 0")
    assert "Exception in post_request hook" in capsys.readouterr().err
