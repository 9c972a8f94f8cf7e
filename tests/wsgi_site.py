"""The server that runs the applications of `wsgi/apps.py`, as one test sees it."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote_plus

import raw_client
from raw_client import Address, Connection, End, Response
from serving import ServerProcess

APPS_FOLDER = Path(__file__).with_name("wsgi")
WAIT_SECONDS = 15.0
"""How long a test waits for what must happen."""


class Site:
    """A server, the application that a test is about, and a key that keeps this test apart from others.

    Attributes:
        server: The process.
        address: Where it listens.
        app: Name of the application that requests go to where a call names no other.
        key: Sent with every request, see `wsgi/events.py`.
    """

    def __init__(self, server: ServerProcess, app: str = "hello", address: Address | None = None) -> None:
        self.server = server
        self.app = app
        self.address = address if address is not None else parse_address(server.addresses[0])
        self.key = uuid.uuid4().hex
        self._connections: list[Connection] = []

    def target(self, app: str | None = None, /, **query: object) -> str:
        """A request target for an application, with the key and `query`."""
        parameters = {"key": self.key, **query}
        return f"/{app or self.app}?" + "&".join(
            f"{name}={quote_plus(str(value), encoding='latin-1')}" for name, value in parameters.items()
        )

    def get(self, app: str | None = None, /, *headers: tuple[str, str], **query: object) -> Response:
        """The response to GET, on a connection of its own."""
        return self.fetch(raw_client.get(self.target(app, **query), *headers))

    def head(self, app: str | None = None, /, **query: object) -> Response:
        """The response to HEAD, on a connection of its own."""
        return self.fetch(raw_client.request("HEAD", self.target(app, **query)), "HEAD")

    def post(self, body: bytes, app: str | None = None, /, *headers: tuple[str, str], **query: object) -> Response:
        """The response to POST with a Content-Length, on a connection of its own."""
        return self.fetch(raw_client.post(self.target(app, **query), body, *headers))

    def json(self, app: str | None = None, /, *headers: tuple[str, str], **query: object) -> Any:
        """What an application that answers GET with JSON says."""
        return body_json(self.get(app, *headers, **query))

    def fetch(self, data: bytes, method: str = "GET") -> Response:
        """Sends `data` on a connection of its own and reads one response."""
        return raw_client.fetch(self.address, data, method)

    def connect(self, **options: Any) -> Connection:
        """A connection that is closed with the test."""
        connection = Connection(self.address, **options)
        self._connections.append(connection)
        return connection

    def recorded(self, *wanted: str, key: str | None = None, seconds: float = WAIT_SECONDS) -> list[str]:
        """The test's events up to now, waiting until those in `wanted` have happened (or time is up)."""
        events = self.json("recorded", wanted=",".join(wanted), seconds=seconds, key=key or self.key)
        return list(events)

    def open_gate(self) -> None:
        """Lets the test's waiting applications go on."""
        assert self.get("open_gate").status == 200

    def whole_log(self) -> str:
        """The server's log with all that was written before this call."""
        key = uuid.uuid4().hex
        assert self.get("errors_stream", key=key).status == 200
        self.server.wait_log(f"second line {key}", WAIT_SECONDS)
        return self.server.log()

    def assert_alive(self) -> None:
        """Fails where the server does not answer as always."""
        response = self.get("hello")
        assert (response.status, response.body) == (200, b"hello")

    def close(self) -> None:
        """Lets every application go that still waits, and closes the connections."""
        with contextlib.suppress(OSError, EOFError):
            raw_client.fetch(self.address, raw_client.get(self.target("open_gate")), timeout=2.0)
        for connection in self._connections:
            connection.close()


class NamedPipe:
    """Holds an application that reads from it (`blocked_on_file`), on servers that take no request to open a gate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._writing: BinaryIO | None = None

    def wait_for_reader(self) -> None:
        """Waits until an application has opened it."""
        self._writing = open(self.path, "wb", buffering=0)

    def release(self, text: bytes = b"") -> None:
        """Lets the application read `text` and then the end."""
        if self._writing is not None:
            self._writing.write(text)
            self._writing.close()
            self._writing = None


def assert_aborted(connection: Connection, most: bytes) -> None:
    """Fails where the response that comes now is whole; it may be cut at any place, and even before its head."""
    try:
        response = connection.response()
    except (EOFError, ConnectionResetError):
        return
    assert response.end in (End.TRUNCATED, End.RESET), response
    assert most.startswith(response.body)


def body_json(response: Response) -> Any:
    """The JSON in a response that must be a whole 200."""
    assert response.status == 200, response
    assert response.complete, response
    return json.loads(response.body)


def parse_address(text: str) -> Address:
    """An address out of the server's own words: a URL or `unix:PATH`."""
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    host, _, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Asks again and again until `condition` holds, for states that nobody announces.

    Raises:
        AssertionError: It did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)
