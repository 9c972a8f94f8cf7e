"""A WebSocket client on a raw socket, for tests: it sends any frame and shows every frame that comes (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from typing import NamedTuple

from raw_client import Connection, Response, get
from wsgi_site import Site

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(bytes(range(16))).decode()
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    """A frame as the server sent it."""

    opcode: int
    payload: bytes
    fin: bool = True
    compressed: bool = False


def handshake(target: str, *headers: tuple[str, str], key: str | None = KEY, version: str = "13") -> bytes:
    """The bytes of a request for a WebSocket."""
    lines = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", version)]
    if key is not None:
        lines.append(("Sec-WebSocket-Key", key))
    return get(target, *lines, *headers)


def accept_value(key: str = KEY) -> str:
    """What the server answers to `key`."""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """The bytes of a client's frame."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, flag | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, flag | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, flag | 127, len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = mask * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "little") ^ int.from_bytes(repeated[: len(payload)], "little")
    return head + mask + number.to_bytes(len(payload), "little")


def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


class WebSocket:
    """A connection after its handshake.

    Attributes:
        connection: The socket.
        response: The server's part of the handshake.
    """

    def __init__(self, connection: Connection, response: Response) -> None:
        self.connection = connection
        self.response = response
        self._buffer = b""

    @classmethod
    def open(cls, site: Site, target: str, *headers: tuple[str, str], early: bytes = b"") -> WebSocket:
        """Shakes hands; `early` is sent together with the request."""
        connection = site.connect()
        connection.send(handshake(target, *headers) + early)
        response = connection.head()
        assert response.status == 101, response
        assert response.header("sec-websocket-accept") == accept_value()
        return cls(connection, response)

    def send(self, opcode: int, payload: bytes = b"", **how: int) -> None:
        """Sends one frame, see `frame`."""
        self.connection.send(frame(opcode, payload, **how))  # type: ignore[arg-type]

    def read(self) -> Frame:
        """The next frame; servers do not mask.

        Raises:
            EOFError: The connection ended before it.
        """
        first, second = self._take(2)
        assert second & 0x80 == 0, "a server's frame is masked"
        assert first & 0x30 == 0, "a reserved bit is set"
        length = second
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return Frame(first & 15, self._take(length), bool(first & 0x80), bool(first & 0x40))

    def read_close(self) -> tuple[int | None, str]:
        """Code and reason of the close frame that must come next."""
        opcode, payload, *_ = self.read()
        assert opcode == CLOSE, (opcode, payload)
        if not payload:
            return None, ""
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    def wait_closed(self) -> bytes:
        """What comes up to the end of the connection."""
        rest, self._buffer = self._buffer, b""
        return rest + self.connection.wait_closed()

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.connection.read_some()
            if not data:
                raise EOFError(f"the connection ended with {self._buffer!r}")
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken
