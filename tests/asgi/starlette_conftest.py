"""Fixtures that send the requests of Starlette's own tests through a real server and a real socket.

`starlette_suite.py` puts this file in the place of Starlette's `tests/conftest.py`. Everything that the tests see of
Starlette's `TestClient` is kept: exceptions of the application are raised in the test, `http://testserver` is the
address, and a client that is used as a context manager runs the lifespan.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urljoin

import h11
import httpx2 as httpx
import pytest
import tomllib
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from typing_extensions import Self
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

import ironbridge

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CALL_HEADER = b"x-suite-call"
"""Names the call that a request belongs to; it is taken away before the application sees the request."""

TRAILERS_WANTED = (b"te", b"trailers")
"""Added to every request, as servers send trailers to those only who take them; taken away as well."""

PATIENCE = 10.0
"""Seconds to wait for the server or the application before a test fails."""

SKIPS: dict[str, str] = {}
"""Tests that cannot run, and why."""

HANDSHAKE_HEADERS = {
    "connection",
    "date",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "server",
    "upgrade",
}
"""Headers of a WebSocket handshake's response that the server adds by itself."""


class Call:
    """What became of one call of the application."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.begun = False
        self.answered = False
        self.accepted = False
        self.refusal: Message | None = None
        self.debug: Message | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def finish(self, raise_error: bool = True) -> None:
        """Wait for the application's end, and raise once what it raised."""
        if not self.begun:
            return
        if not self.done.wait(PATIENCE):
            raise AssertionError(f"The application did not end within {PATIENCE:g} seconds")
        error, self.error = self.error, None
        if raise_error and error is not None:
            raise error


class Watcher:
    """A thin layer around an application that notes how its calls end."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.calls: dict[bytes, Call] = {}
        self.numbers = itertools.count(1)
        self.lifespan = Call("lifespan")

    def new_call(self, scheme: str) -> tuple[Call, tuple[bytes, bytes]]:
        """Announce a request; returns the header that it must carry."""
        number = str(next(self.numbers)).encode()
        call = self.calls[number] = Call(scheme)
        return call, (CALL_HEADER, number)

    def layer(self) -> Callable[..., Any]:
        """The application to serve: of the same ASGI version as the one inside."""
        if not is_asgi3(self.app):
            return self.double
        return self.single

    async def single(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An application of ASGI 3."""
        await self.watch(scope, send, lambda send: self.app(scope, receive, send))

    def double(self, scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
        """An application of ASGI 2."""

        async def instance(receive: Receive, send: Send) -> None:
            await self.watch(scope, send, lambda send: self.app(scope)(receive, send))

        return instance

    def identify(self, scope: Scope) -> Call:
        """Find the call that a scope belongs to, and hide the headers that this client added."""
        if scope["type"] == "lifespan":
            self.lifespan = Call("lifespan")
            return self.lifespan
        numbers = [value for name, value in scope["headers"] if name == CALL_HEADER]
        added = {(CALL_HEADER, numbers[0]), TRAILERS_WANTED}
        scope["headers"] = [header for header in scope["headers"] if tuple(header) not in added]
        call = self.calls.pop(numbers[0])
        scope["scheme"] = call.scheme  # As a proxy that ends TLS would have it.
        scope.setdefault("extensions", {})["http.response.debug"] = {}
        return call

    async def watch(self, scope: Scope, send: Send, run: Callable[[Send], Awaitable[None]]) -> None:
        """Run the application for one scope."""
        call = self.identify(scope)
        call.begun = True

        async def watched_send(message: Message) -> None:
            match message["type"]:
                case "http.response.debug":
                    call.debug = message["info"]
                    return
                case "http.response.start" | "websocket.http.response.start":
                    call.answered = True
                case "websocket.accept":
                    call.accepted = True
                case "websocket.close" if not call.accepted:
                    call.refusal = message
            await send(message)

        try:
            await run(watched_send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.done.set()


def is_asgi3(app: Callable[..., Any]) -> bool:
    """Whether an application is called once (ASGI 3), as Starlette's `TestClient` decides it."""
    while isinstance(app, partial):
        app = app.func
    if inspect.isclass(app):
        return hasattr(app, "__await__")
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)


class Connection:
    """One connection to the server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.protocol = h11.Connection(h11.CLIENT)

    def send(self, request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a request; a server that does not read all of it may answer early."""
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=headers)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.protocol.send(head) or b"")
            for chunk in cast(httpx.SyncByteStream, request.stream):
                self.socket.sendall(self.protocol.send(h11.Data(data=chunk)) or b"")
            self.socket.sendall(self.protocol.send(h11.EndOfMessage()) or b"")

    def next_event(self) -> h11.Event:
        """Read until something is complete."""
        while True:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                self.protocol.receive_data(self.socket.recv(65536))
            elif isinstance(event, h11.Event):
                return event
            else:
                raise h11.RemoteProtocolError(f"The connection is {event}")

    def reusable(self) -> bool:
        """Whether another request may follow; if so, the connection is ready for it."""
        if self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE:
            self.protocol.start_next_cycle()
            return True
        return False

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class ResponseStream(httpx.SyncByteStream):
    """A response's body as it arrives; its end is the application's end."""

    def __init__(self, transport: Transport, connection: Connection, call: Call) -> None:
        self.transport = transport
        self.connection: Connection | None = connection
        self.call = call
        self.trailers: list[tuple[bytes, bytes]] = []
        transport.streams.add(self)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body's parts."""
        assert self.connection is not None
        try:
            while isinstance(event := self.connection.next_event(), h11.Data):
                yield bytes(event.data)
        except (h11.RemoteProtocolError, OSError) as error:
            self.call.finish(self.transport.raise_server_exceptions)
            raise httpx.RemoteProtocolError(str(error)) from error
        assert isinstance(event, h11.EndOfMessage)
        self.trailers.extend((bytes(name), bytes(value)) for name, value in event.headers)
        if self.connection.reusable():
            self.transport.idle.append(self.connection)
            self.connection = None

    def close(self) -> None:
        """Let the connection go, wait for the application and raise what it raised."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.transport.streams.discard(self)
        self.call.finish(self.transport.raise_server_exceptions)


class Transport(httpx.BaseTransport):
    """Sends requests for any host to the one server."""

    def __init__(self, client: ServerClient, raise_server_exceptions: bool) -> None:
        self.client = client
        self.raise_server_exceptions = raise_server_exceptions
        self.idle: list[Connection] = []
        self.streams: set[ResponseStream] = set()

    def connection(self) -> Connection:
        """An idle connection to the running server, or a new one."""
        address = self.client.address()
        while self.idle:
            connection = self.idle.pop()
            if connection.address == address:
                return connection
            connection.close()
        return Connection(address)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its response's head."""
        connection = self.connection()
        call, mark = self.client.watcher.new_call(request.url.scheme)
        try:
            # Blanks around a value are no part of it, and h11 refuses to send them.
            headers = [(name, value.strip(b" \t")) for name, value in request.headers.raw]
            if TRAILERS_WANTED[0] not in {name.lower() for name, _ in headers}:
                headers.append(TRAILERS_WANTED)
            connection.send(request, [*headers, mark])
            head = connection.next_event()
            while isinstance(head, h11.InformationalResponse):
                head = connection.next_event()
        except (h11.RemoteProtocolError, OSError) as error:
            connection.close()
            call.finish(self.raise_server_exceptions)
            raise httpx.RemoteProtocolError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        assert isinstance(head, h11.Response)
        stream = ResponseStream(self, connection, call)
        if call.begun and not call.answered:
            try:
                call.finish(self.raise_server_exceptions)
            except BaseException:
                stream.close()
                raise
        raw_headers = [(bytes(name), bytes(value)) for name, value in head.headers]
        response = httpx.Response(head.status_code, headers=raw_headers, stream=stream, request=request)
        response.extensions["http.response.trailers"] = stream.trailers
        if call.debug is not None:
            response.extensions["http.response.debug"] = call.debug
            for name in call.debug.keys() & {"template", "context"}:
                setattr(response, name, call.debug[name])
        return response

    def close(self) -> None:
        """Close idle connections, and those of responses that nobody closed."""
        while self.streams:
            self.streams.pop().close()
        while self.idle:
            self.idle.pop().close()


class WebSocketSession:
    """A WebSocket connection with the interface of Starlette's `WebSocketTestSession`."""

    def __init__(self, client: ServerClient, request: httpx.Request, subprotocols: Sequence[str] | None) -> None:
        self.client = client
        self.request = request
        self.subprotocols = [Subprotocol(name) for name in subprotocols] if subprotocols is not None else None
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] | None = None
        self.call: Call
        self.connection: ClientConnection

    def __enter__(self) -> Self:
        """Shake hands."""
        self.call, mark = self.client.watcher.new_call(self.request.url.scheme)
        skipped = HANDSHAKE_HEADERS | {"host"}
        headers = [(name, value) for name, value in self.request.headers.multi_items() if name not in skipped]
        try:
            connector = connect(
                str(self.request.url),
                sock=socket.create_connection(self.client.address(), timeout=PATIENCE),
                additional_headers=[*headers, (mark[0].decode(), mark[1].decode())],
                user_agent_header=None,
                subprotocols=self.subprotocols,
                ping_interval=None,
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
            )
            self.connection = connector.__enter__()
        except InvalidStatus as error:
            self.call.finish(self.client.raise_server_exceptions)
            self.refused(error)
        response = self.connection.response
        assert response is not None
        self.accepted_subprotocol = self.connection.subprotocol
        self.extra_headers = [
            (name.encode(), value.encode())
            for name, value in response.headers.raw_items()
            if name.lower() not in HANDSHAKE_HEADERS
        ]
        return self

    def refused(self, error: InvalidStatus) -> None:
        """Raise what a refused handshake means for the application's tester."""
        response = error.response
        if self.call.refusal is not None:
            # The code of a close before the handshake does not travel: the client sees 403.
            assert response.status_code == 403
            raise WebSocketDisconnect(self.call.refusal.get("code", 1000), self.call.refusal.get("reason") or "")
        raise WebSocketDenialResponse(
            status_code=response.status_code,
            headers=list(response.headers.raw_items()),
            content=bytes(response.body or b""),
        )

    def __exit__(self, *args: object) -> None:
        """Close, wait for the application, and raise what it raised."""
        self.close(1000)
        self.call.finish(self.client.raise_server_exceptions)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send what an application would receive as this message."""
        with contextlib.suppress(ConnectionClosed):
            match message["type"]:
                case "websocket.receive":
                    text = message.get("text")
                    self.connection.send(text if text is not None else message["bytes"])
                case "websocket.disconnect":
                    self.connection.close(message.get("code", 1000), message.get("reason") or "")
                case other:
                    raise TypeError(f"No frame of a client becomes {other}")

    def send_text(self, data: str) -> None:
        """Send a text message."""
        self.send({"type": "websocket.receive", "text": data})

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self.send({"type": "websocket.receive", "bytes": data})

    def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send JSON."""
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if mode == "text":
            self.send_text(text)
        else:
            self.send_bytes(text.encode())

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Start the closing handshake."""
        self.send({"type": "websocket.disconnect", "code": code, "reason": reason})

    def receive(self) -> Message:
        """Receive the message that the application must have sent."""
        try:
            data = self.connection.recv(timeout=PATIENCE)
        except ConnectionClosed as error:
            code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (1006, "")
            return {"type": "websocket.close", "code": code, "reason": reason}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}

    def receive_data(self) -> Message:
        """Receive a message; a close is raised."""
        message = self.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"], message["reason"])
        return message

    def receive_text(self) -> str:
        """Receive a text message."""
        return cast(str, self.receive_data()["text"])

    def receive_bytes(self) -> bytes:
        """Receive a binary message."""
        return cast(bytes, self.receive_data()["bytes"])

    def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        """Receive JSON."""
        return json.loads(self.receive_data()["text" if mode == "text" else "bytes"])


class ServerClient(httpx.Client):
    """A client of one application behind a server of its own, with the interface of Starlette's `TestClient`.

    Two parameters of `TestClient` cannot be honoured: the client's address is the socket's, and there is no choice of a
    backend, as the server runs the event loop.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        cookies: Any = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] | None = None,
        *,
        options: Mapping[str, Any],
    ) -> None:
        self.app = app
        self.watcher = Watcher(app)
        self.raise_server_exceptions = raise_server_exceptions
        self.server_options = {"graceful_timeout": PATIENCE, **options}
        if root_path:
            self.server_options["root_path"] = root_path
        self.server: ironbridge.Server | None = None
        super().__init__(
            base_url=base_url,
            headers={"user-agent": "testclient", **(headers or {})},
            transport=Transport(self, raise_server_exceptions),
            follow_redirects=follow_redirects,
            cookies=cookies,
        )

    def address(self) -> tuple[str, int]:
        """Where the server listens; it is started, without lifespan, when it does not run."""
        if self.server is None:
            self.start("off")
        assert self.server is not None
        return cast(tuple[str, int], self.server.addresses[0])

    def start(self, lifespan: Literal["on", "off"]) -> None:
        """Start a server."""
        server = ironbridge.Server(self.watcher.layer(), lifespan=lifespan, **self.server_options)
        try:
            server.start()
        except Exception:
            self.watcher.lifespan.finish()
            raise
        self.server = server

    def stop(self) -> None:
        """Stop the server, if one runs."""
        self._transport.close()
        server, self.server = self.server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        """Start a server with lifespan."""
        self.stop()
        self.start("on")
        return self

    def __exit__(self, *args: object) -> None:
        """Stop the server, and raise what the lifespan raised."""
        self.stop()
        self.watcher.lifespan.finish()

    def websocket_connect(self, url: str, subprotocols: Sequence[str] | None = None, **kwargs: Any) -> WebSocketSession:
        """Prepare a WebSocket connection; entering its context connects."""
        auth = kwargs.pop("auth", None)
        request = self.build_request("GET", urljoin("ws://testserver", url), **kwargs)
        if auth is not None:
            request = next(httpx.BasicAuth(*auth).auth_flow(request))
        return WebSocketSession(self, request, subprotocols)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that `starlette_suite.py` passes on."""
    parser.addoption("--server-option", action="append", default=[], metavar="NAME=VALUE")
    parser.addoption("--skips", metavar="FILE", help="TOML file of tests that cannot run, with reasons")


def read_skips(file_name: str | None) -> dict[str, str]:
    """Read the tests that cannot run, and why."""
    if file_name is None:
        return {}
    with open(file_name, "rb") as file:
        skips = tomllib.load(file)["skip"]
    is_root = os.geteuid() == 0
    return {name: skip["reason"] for skip in skips for name in skip["tests"] if is_root or not skip.get("only_as_root")}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that use a client, and skip those that are listed, each with its reason."""
    uses_client = {item: "test_client_factory" in getattr(item, "fixturenames", ()) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not uses_client[item]])
    items[:] = [item for item in items if uses_client[item]]
    for item in items:
        reason = SKIPS.get(item.nodeid, SKIPS.get(item.nodeid.partition("[")[0]))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_configure(config: pytest.Config) -> None:
    """Read the list of tests that cannot run."""
    SKIPS.update(read_skips(config.getoption("--skips")))


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Name the listed tests that are not there, as in another release of Starlette."""
    known = {name for item in items for name in (item.nodeid, item.nodeid.partition("[")[0])}
    return [f"listed to be skipped, but not there: {name}" for name in sorted(SKIPS.keys() - known)]


def read_option(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`; a value is JSON or just text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The backend that the tests hear of: the server runs asyncio, or uvloop, which is asyncio to anyio."""
    return cast(str, request.param)


@pytest.fixture
def test_client_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., ServerClient]]:
    """Make clients whose servers stop at the end of the test."""
    options = dict(read_option(text) for text in request.config.getoption("--server-option"))
    clients: list[ServerClient] = []

    def make(app: Callable[..., Any], *args: Any, **kwargs: Any) -> ServerClient:
        clients.append(ServerClient(app, *args, options=options, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()
        client.close()
