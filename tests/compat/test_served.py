"""Hooks around applications that the server itself serves, from this process."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ironbridge._compat import config

pytest.importorskip("ironbridge._native", reason="needs the server")
import ironbridge  # noqa: E402

Load = Callable[..., config.Configuration]

HOOKS = """
seen = []
def pre_request(worker, req): seen.append((req.method, req.uri, req.version, req.remote_addr[0]))
def post_request(worker, req, environ, resp): seen.append((resp.status, resp.sent))
"""


def wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open("file", "rb"))
    if environ["PATH_INFO"] == "/stream":
        return (b"x" for _ in range(3))
    return [b"hello"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def serve(load: Load) -> Iterator[Callable[..., tuple[Any, list[Any]]]]:
    """Serves an application with hooks, asks for a path, and gives the response and what the hooks have seen."""

    def served(app: Any, interface: str, path: str) -> tuple[Any, list[Any]]:
        hooks = load(HOOKS).hooks
        assert hooks is not None
        wrapped: Any = hooks.wrap(app, interface)
        with (
            ironbridge.Server(wrapped, lifespan="off") as server,
            urllib.request.urlopen(server.url + path) as response,
        ):
            response.text = response.read()
        return response, hooks._functions["pre_request"].__globals__["seen"]  # type: ignore[attr-defined]

    yield served


@pytest.mark.parametrize(
    ("path", "body", "length"),
    [("/a?b", b"hello", "5"), ("/stream", b"xxx", None), ("/file", b"0" * 100_000, "100000")],
)
def test_responses_are_as_without_hooks(serve: Any, clean: Path, path: str, body: bytes, length: str | None) -> None:
    """That the length of the file is told shows that the server sends the file itself."""
    (clean / "file").write_bytes(b"0" * 100_000)
    response, seen = serve(wsgi, "wsgi", path)
    assert response.text == body
    assert response.headers["Content-Length"] == length
    assert seen == [("GET", path, (1, 1), "127.0.0.1"), ("200 OK", len(body))]


def test_an_asgi_application(serve: Any) -> None:
    response, seen = serve(asgi, "asgi", "/a?b")
    assert response.text == b"hello"
    assert seen == [("GET", "/a?b", (1, 1), "127.0.0.1"), (200, 5)]
