"""An HTTP/1.1 client on a raw socket, for tests: it sends literal bytes and hides nothing that comes back.

    with Connection(("127.0.0.1", 8000)) as connection:
        connection.send(get("/"))
        response = connection.response()
        assert (response.status, response.body) == (200, b"hello")

It reads exactly one response at a time, keeps order and spelling of the header lines, reads chunked bodies to the
letter, and never waits longer than its timeout.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType

Address = tuple[str, int] | str
"""A host and port, or the path of a unix socket."""
HeaderList = Sequence[tuple[str, str]]

TIMEOUT = 15.0
"""Seconds that one operation may take."""


class ProtocolError(AssertionError):
    """The server sent bytes that are no HTTP/1.1 response."""


class End(Enum):
    """How a response ended."""

    COMPLETE = "complete"
    """Where its framing says; the connection may be used again."""
    CLOSED = "closed"
    """With the connection, which is how this response says where it ends."""
    TRUNCATED = "truncated"
    """The connection was closed before the end that the framing promised."""
    RESET = "reset"
    """The connection was reset before the end that the framing promised."""


@dataclass
class Response:
    """One response as it came.

    Attributes:
        version: `HTTP/1.1` or `HTTP/1.0`.
        status: The code.
        reason: The reason phrase, decoded as latin-1.
        headers: Names and values in their order and spelling, decoded as latin-1.
        body: What came of the body.
        end: How it ended.
        interim: The 1xx responses that came before it.
    """

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    end: End = End.COMPLETE
    interim: list[Response] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all of the body came."""
        return self.end in (End.COMPLETE, End.CLOSED)

    def all(self, name: str) -> list[str]:
        """The values of every line called `name`, in any letter case."""
        return [value for given, value in self.headers if given.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of the only line called `name`, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Connection:
    """A connection to a server.

    Args:
        address: Where to connect.
        timeout: Seconds that each operation may take.
        receive_buffer: Bytes that the kernel may hold for us; the kernel's own choice by default.
    """

    def __init__(self, address: Address, timeout: float = TIMEOUT, receive_buffer: int | None = None) -> None:
        self.timeout = timeout
        family = socket.AF_UNIX if isinstance(address, str) else _family(address[0])
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self._buffer = bytearray()
        self._senders: list[threading.Thread] = []
        try:
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise

    def send(self, data: bytes) -> None:
        """Sends all of `data`."""
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def send_in_background(self, data: bytes) -> None:
        """Sends `data` while the caller goes on; stops silently when the server closes or takes no more."""

        def run() -> None:
            with contextlib.suppress(OSError):
                self.socket.sendall(data)

        thread = threading.Thread(target=run, daemon=True)
        self._senders.append(thread)
        thread.start()

    def finish_background(self) -> None:
        """Waits until what is sent in the background has been sent."""
        for thread in self._senders:
            thread.join(self.timeout)

    def is_sending(self) -> bool:
        """Whether something that is sent in the background has not all been taken."""
        return any(thread.is_alive() for thread in self._senders)

    def finish_sending(self) -> None:
        """Says that no more bytes will come, and stays open for reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def response(self, method: str = "GET") -> Response:
        """Reads one final response, and the interim ones before it.

        Args:
            method: The request's; the response to HEAD has no body.

        Raises:
            ProtocolError: What came is no response.
            EOFError: The connection ended before the head was whole (ConnectionResetError: by a reset).
            TimeoutError: It took too long.
        """
        interim = []
        response = self.head()
        while 100 <= response.status < 200:
            interim.append(response)
            response = self.head()
        response.interim = interim
        self.read_body(response, method)
        return response

    def head(self) -> Response:
        """Reads the next head, interim or final, and nothing behind it."""
        raw = self._until(b"\r\n\r\n")[:-4]
        if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
            raise ProtocolError(f"a line of the head ends with a bare CR or LF: {raw!r}")
        status_line, *lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = status_line.partition(" ")
        code, space, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not code.isdigit() or not space:
            raise ProtocolError(f"bad status line: {status_line!r}")
        return Response(version, int(code), reason, [_header_line(line) for line in lines])

    def read_body(self, response: Response, method: str = "GET") -> None:
        """Reads the body that belongs to `response` into it."""
        try:
            for piece in self._body(response, method):
                response.body += piece
        except ConnectionResetError:
            response.end = End.RESET
        except EOFError:
            response.end = End.TRUNCATED

    def read_some(self) -> bytes:
        """Bytes that have come and belong to no response read up to now; waits for the first. Empty at the end."""
        if not self._buffer:
            self._receive()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def receive_slowly(self, pause: float, step: int, times: int) -> None:
        """Takes up to `step` bytes from the socket every `pause` seconds, `times` times; what reads next finds them."""
        for _ in range(times):
            self._buffer += self.socket.recv(step)
            time.sleep(pause)

    def read_chunk(self) -> bytes:
        """Reads one chunk of a chunked body, its framing removed. Empty: it was the last."""
        size_line = self._until(b"\r\n")[:-2]
        size = size_line.partition(b";")[0]
        if not size or not all(digit in b"0123456789abcdefABCDEF" for digit in size):
            raise ProtocolError(f"bad chunk size: {size_line!r}")
        data = self._exactly(int(size, 16)) if int(size, 16) else b""
        if data:
            if self._exactly(2) != b"\r\n":
                raise ProtocolError("a chunk does not end with CRLF")
        else:
            while self._until(b"\r\n") != b"\r\n":
                pass
        return data

    def wait_closed(self) -> bytes:
        """Waits until the server has closed or reset the connection; returns what came before.

        Raises:
            TimeoutError: It stays open.
        """
        deadline = time.monotonic() + self.timeout
        with contextlib.suppress(ConnectionResetError):
            while self._receive(deadline):
                pass
        return bytes(self._buffer)

    def is_open(self) -> bool:
        """Whether the server has not closed the connection up to now. Sends and waits for nothing."""
        self.socket.settimeout(0.0)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except (BlockingIOError, TimeoutError):
            return True
        except ConnectionResetError:
            return False

    def has_bytes(self) -> bool:
        """Whether the server has sent something that has not been read. Waits for nothing."""
        return bool(self._buffer) or bool(select.select([self.socket], [], [], 0)[0])

    @property
    def port(self) -> int:
        """Our own TCP port."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            # Ends a send that blocks in the background.
            self.socket.shutdown(socket.SHUT_RDWR)
        self.finish_background()
        self.socket.close()

    def reset(self) -> None:
        """Closes the connection so that the server sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Connection:  # noqa: PYI034 (Self is 3.11+)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _body(self, response: Response, method: str) -> Iterator[bytes]:
        codings, lengths = response.all("Transfer-Encoding"), response.all("Content-Length")
        if codings and lengths:
            raise ProtocolError("both Transfer-Encoding and Content-Length came")
        if len(lengths) > 1 or any(not (length.isascii() and length.isdigit()) for length in lengths):
            raise ProtocolError(f"bad Content-Length: {lengths}")
        if method == "HEAD" or response.status in (204, 304):
            return
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"]:
                raise ProtocolError(f"bad Transfer-Encoding: {codings}")
            while data := self.read_chunk():
                yield data
        elif lengths:
            left = int(lengths[0])
            while left:
                data = self._at_most(left)
                left -= len(data)
                yield data
        else:
            response.end = End.CLOSED
            while self._buffer or self._receive():
                yield self._at_most(1 << 20)

    def _until(self, end: bytes) -> bytes:
        deadline = time.monotonic() + self.timeout
        searched = 0
        while (at := self._buffer.find(end, searched)) < 0:
            searched = max(0, len(self._buffer) - len(end) + 1)
            if not self._receive(deadline):
                raise EOFError(f"the connection was closed after {bytes(self._buffer[:200])!r}")
        return self._take(at + len(end))

    def _exactly(self, count: int) -> bytes:
        deadline = time.monotonic() + self.timeout
        while len(self._buffer) < count:
            if not self._receive(deadline):
                raise EOFError("the connection was closed within a chunk")
        return self._take(count)

    def _at_most(self, count: int) -> bytes:
        if not self._buffer and not self._receive():
            raise EOFError("the connection was closed within the body")
        return self._take(min(count, len(self._buffer)))

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _receive(self, deadline: float | None = None) -> bool:
        """Adds what has come to the buffer; false at the end of the stream."""
        left = self.timeout if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing whole came in time, only {bytes(self._buffer[:200])!r}")
        self.socket.settimeout(left)
        data = self.socket.recv(1 << 18)
        self._buffer += data
        return data != b""


def request(
    method: str,
    target: str | bytes,
    *headers: tuple[str, str],
    body: bytes | None = None,
    version: str = "HTTP/1.1",
    host: str | None = "test.example",
) -> bytes:
    """The bytes of a request. Text is encoded as latin-1; a body gets a Content-Length.

    Args:
        method: As sent.
        target: As sent.
        headers: As sent, after Host.
        body: The body, or None.
        version: As sent.
        host: The Host header; None: none.
    """
    raw_target = target if isinstance(target, bytes) else target.encode("latin-1")
    lines = [] if host is None else [("Host", host)]
    lines += headers
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    start = method.encode("latin-1") + b" " + raw_target + b" " + version.encode("latin-1") + b"\r\n"
    return start + head.encode("latin-1") + b"\r\n" + (body or b"")


def get(target: str | bytes, *headers: tuple[str, str]) -> bytes:
    """The bytes of a GET request."""
    return request("GET", target, *headers)


def post(target: str | bytes, body: bytes, *headers: tuple[str, str]) -> bytes:
    """The bytes of a POST request with a Content-Length."""
    return request("POST", target, *headers, body=body)


def post_chunked(target: str | bytes, *chunks: bytes) -> bytes:
    """The bytes of a POST request with a chunked body, whole to its end."""
    return request("POST", target, ("Transfer-Encoding", "chunked")) + chunked(*chunks)


def chunked(*chunks: bytes, last: bool = True) -> bytes:
    """`chunks` as RFC 9112 section 7.1 frames them, with the last chunk where asked for."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + (b"0\r\n\r\n" if last else b"")


def fetch(address: Address, data: bytes, method: str = "GET", timeout: float = TIMEOUT) -> Response:
    """Sends `data` on a connection of its own and reads one response."""
    with Connection(address, timeout) as connection:
        connection.send(data)
        return connection.response(method)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _header_line(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name.strip() != name:
        raise ProtocolError(f"bad header line: {line!r}")
    return name, value.strip(" \t")
