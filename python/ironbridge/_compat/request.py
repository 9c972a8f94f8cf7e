"""`req` and `resp`, as hooks see them (gunicorn/http/message.py, gunicorn/http/wsgi.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote


class Request:
    """A request.

    Attributes:
        method: "GET".
        uri: The request target as it was sent.
        path: Its path, not decoded.
        query: What follows its question mark.
        fragment: Always empty in what browsers send.
        version: (1, 1).
        scheme: "http" or "https".
        remote_addr: The address and port of the client, or "" on a unix socket.
        headers: Names in upper case, and values.
    """

    def __init__(
        self,
        method: str,
        uri: str,
        version: str,
        scheme: str,
        remote_addr: tuple[str, int] | str,
        headers: Callable[[], list[tuple[str, str]]],
    ) -> None:
        self.method = method
        self.uri = uri
        target, _, self.fragment = uri.partition("#")
        self.path, _, self.query = target.partition("?")
        self.version = _version(version)
        self.scheme = scheme
        self.remote_addr = self.peer_addr = remote_addr
        self.trailers: list[tuple[str, str]] = []
        self.proxy_protocol_info = None
        self._read_headers = headers
        self._headers: list[tuple[str, str]] | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Read when they are asked for."""
        if self._headers is None:
            self._headers = self._read_headers()
        return self._headers

    @classmethod
    def of_environ(cls, environ: Mapping[str, Any]) -> Request:
        """The request of a WSGI environ."""
        address = environ.get("REMOTE_ADDR", "")
        return cls(
            environ.get("REQUEST_METHOD", ""),
            environ.get("RAW_URI") or _rebuilt(environ),
            environ.get("SERVER_PROTOCOL", ""),
            environ.get("wsgi.url_scheme", "http"),
            (address, int(environ.get("REMOTE_PORT") or 0)) if address else "",
            lambda: list(_environ_headers(environ)),
        )

    @classmethod
    def of_scope(cls, scope: Mapping[str, Any]) -> Request:
        """The request of an ASGI scope."""
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        query = scope.get("query_string") or b""
        target = path + b"?" + query if query else path
        client = scope.get("client")
        return cls(
            scope["method"],
            target.decode("latin-1"),
            scope.get("http_version", "1.1"),
            scope.get("scheme", "http"),
            (client[0], client[1]) if client and client[1] else "",
            lambda: [(_text(name).upper(), _text(value)) for name, value in scope["headers"]],
        )

    def environ(self) -> dict[str, Any]:
        """What `post_request` gets as the environ of an ASGI request (gunicorn/asgi/protocol.py)."""
        address = self.remote_addr[0] if isinstance(self.remote_addr, tuple) else "-"
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.uri,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": f"HTTP/{self.version[0]}.{self.version[1]}",
            "REMOTE_ADDR": address,
        }
        for name, value in self.headers:
            environ[f"HTTP_{name.replace('-', '_')}"] = value
        return environ


class Response:
    """A response.

    Attributes:
        status: "200 OK"; a number in ASGI. None: the application has not begun one.
        status_code: 200.
        headers: Those of the application.
        headers_sent: Whether there was anything to send.
        response_length: What Content-Length says.
        sent: Bytes of the body so far.
    """

    def __init__(self) -> None:
        self.status: str | int | None = None
        self.status_code: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.headers_sent = False
        self.response_length: int | None = None
        self.sent = 0
        self.upgrade = False

    def begin(self, status: str | int, headers: list[tuple[str, str]]) -> None:
        """The application has given status and headers, perhaps others than before (PEP 3333, exc_info)."""
        self.status = status
        code = str(status).partition(" ")[0]
        self.status_code = int(code) if code.isdigit() else None
        self.headers = list(headers)
        lengths = [value for name, value in headers if name.lower() == "content-length" and value.isdigit()]
        self.response_length = int(lengths[0]) if lengths else None

    def count(self, data: bytes) -> None:
        """The application has given a piece of the body."""
        self.headers_sent = True
        self.sent += len(data)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.rpartition("/")[2].partition(".")
    return (int(major), int(minor or 0)) if major.isdigit() and (minor or "0").isdigit() else (1, 1)


def _rebuilt(environ: Mapping[str, Any]) -> str:
    path = quote(f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}", encoding="latin-1")
    query = environ.get("QUERY_STRING")
    return f"{path}?{query}" if query else path


def _environ_headers(environ: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), value
        elif name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield name.replace("_", "-"), value


def _text(data: bytes) -> str:
    return bytes(data).decode("latin-1")
