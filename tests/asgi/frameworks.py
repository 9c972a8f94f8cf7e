"""The sites of `tests/sites` that are made with ASGI frameworks, and people who visit them.

The sites answer alike, so that one test can visit each of them.
"""

from __future__ import annotations

import re
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
from serving import ServerProcess
from websockets.sync.client import connect
from websockets.sync.connection import Connection as WebSocket
from wsgi_site import APPS_FOLDER, WAIT_SECONDS, wait_until

SITES = Path(__file__).parents[1] / "sites"
_COMPLAINT = re.compile(r"Traceback \(most recent|never (awaited|retrieved)|destroyed but it is pending")


class Framework(NamedTuple):
    """A site, and where its framework differs from others.

    Attributes:
        folder: Its folder in `tests/sites`.
        app: The application, as on the command line.
        lifespan: Whether it is told when the server starts and stops.
        events: Path of an endless stream of events. The one at "quiet" sends one event alone, and so must hear in
            another way that its client has left.
        threads: How many synchronous functions answer `/thread`: the endpoint, and its dependency where there are such.
        refusal: Status for a WebSocket that is refused.
        tells_codes: Whether a site learns with which code a client closed.
        chats: Paths of its chats.
    """

    folder: str
    app: str
    lifespan: bool = True
    events: str = "quiet"
    threads: int = 1
    refusal: int = 403
    tells_codes: bool = True
    chats: tuple[str, ...] = ("chat",)


FRAMEWORKS = {
    "fastapi": Framework("fastapi_site", "main:app", events="events", threads=2),
    "starlette": Framework("starlette_site", "app:app", events="events", refusal=401),
    "django": Framework("django_site", "chatter.asgi", lifespan=False, chats=("chat", "sync-chat")),
    "quart": Framework("quart_site", "app:app", refusal=401, tells_codes=False),
    "litestar": Framework("litestar_site", "app:app", threads=2),
}


class Visitor:
    """Somebody with cookies of their own.

    Attributes:
        http: For requests.
    """

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
        self._url = url
        self._stack = stack

    def log_in(self, name: str, password: str = "right") -> httpx.Response:
        """Fetches the form and sends it, with the token that some sites want back with whatever is posted."""
        assert "<form" in self.http.get("/login").text
        if token := self.http.cookies.get("csrftoken"):
            self.http.headers["X-CSRFToken"] = token
        response = self.http.post("/login", data={"user": name, "password": password})
        # Django gives another one to whom it has logged in.
        if token := self.http.cookies.get("csrftoken"):
            self.http.headers["X-CSRFToken"] = token
        return response

    def name(self) -> str | None:
        """Who the site takes them for."""
        return self.http.get("/whoami").json()["user"]

    def open(self, path: str, origin: str | None = None) -> WebSocket:
        """A WebSocket that carries the cookies."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        websocket = connect(
            self._url.replace("http", "ws", 1) + path,
            origin=origin or self._url,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookies} if cookies else {},
            max_size=None,
            open_timeout=WAIT_SECONDS,
        )
        return self._stack.enter_context(websocket)


class FrameworkSite:
    """The server of a framework's site, as one test sees it.

    Attributes:
        framework: The framework.
        server: The process.
        key: Keeps this test apart from others, see `wsgi/events.py`.
        may_complain: Whether the test allows for complaints.
    """

    def __init__(self, framework: Framework, server: ServerProcess) -> None:
        self.framework = framework
        self.server = server
        self.key = uuid.uuid4().hex
        self.may_complain = False
        self._stack = ExitStack()
        self._own = self.visitor()
        self._log_start = len(server.log())

    def visitor(self, name: str | None = None) -> Visitor:
        """Somebody new, who logs in where a name is given."""
        visitor = Visitor(self.server.url, self._stack)
        if name is not None:
            assert visitor.log_in(name).json() == {"user": name}
        return visitor

    def open_gate(self) -> None:
        """Lets what waits on the test's gate go on."""
        assert self._own.http.post(f"/gate/{self.key}").is_success

    def recorded(self) -> list[str]:
        """What the site has recorded for the test."""
        return list(self._own.http.get(f"/recorded/{self.key}").json())

    def wait_recorded(self, event: str) -> None:
        """Waits until the site has recorded an event."""
        wait_until(lambda: event in self.recorded(), event)

    def complaints(self) -> list[str]:
        """What the log has told since the test began about exceptions that nobody caught, and the like."""
        log = self.server.log()[self._log_start :]
        return [log[match.start() :] for match in _COMPLAINT.finditer(log)]

    def close(self) -> None:
        """Lets everything go that still waits, and closes what visitors opened."""
        self.open_gate()
        self._stack.close()


def start(framework: Framework, *options: str, folder: Path) -> ServerProcess:
    """Starts a framework's site, with `folder` for what it writes."""
    environment = {"PYTHONPATH": str(APPS_FOLDER), "CHATTER_VAR": str(folder)}
    return ServerProcess.start(framework.app, *options, cwd=SITES / framework.folder, env=environment)
