"""Real applications of the frameworks that people serve, over real sockets."""

from __future__ import annotations

import hashlib
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from conftest import ServeAsgi
from frameworks import FRAMEWORKS, SITES, FrameworkSite, Visitor, start
from raw_client import get
from serving import ServerProcess
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.connection import Connection as WebSocket
from ws_client import handshake
from wsgi_site import WAIT_SECONDS, wait_until

UPLOAD = b"".join(b"%07d\n" % number for number in range(20_000_000 // 8))
DIGEST = hashlib.sha256(UPLOAD).hexdigest()
LOOPS = ["asyncio", "uvloop"]
ENDLESS = """\
import asyncio
import sys

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    try:
        while True:
            await send({{"type": "http.response.body", "body": b"tick", "more_body": True}})
            await asyncio.sleep(0.01)
    except OSError as error:
        print("the client has left", flush=True)
        {ends}
"""
"""Hears when it sends that the client has left, and ends in one of the ways that frameworks have."""
REFUSES = """\
async def app(scope, receive, send):
    await receive()
    head = [(b"content-length", b"2")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": head})
    await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
    await receive()
    print("the client has left", flush=True)
    await send({"type": "websocket.http.response.body"})
"""
"""Refuses a WebSocket as Quart does, where the client is quicker."""
SiteOf = Callable[..., FrameworkSite]

_HEARS_WHEN_SENDING = [name for name, framework in FRAMEWORKS.items() if framework.events == "events"]
every_framework = pytest.mark.parametrize("name", FRAMEWORKS)
every_chat = pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, framework in FRAMEWORKS.items() for path in framework.chats]
)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return f"--loop={request.param}"


@pytest.fixture
def site_of(serve_framework: Callable[..., ServerProcess], loop: str) -> Iterator[SiteOf]:
    """The site of a framework, whose log must be free of complaints at the end of the test."""
    sites: list[FrameworkSite] = []

    def serve(name: str, *options: str) -> FrameworkSite:
        sites.append(FrameworkSite(FRAMEWORKS[name], serve_framework(name, loop, *options)))
        return sites[-1]

    yield serve
    for site in sites:
        site.close()
        assert site.may_complain or site.complaints() == []


@pytest.fixture
def framework_site(site_of: SiteOf, name: str) -> FrameworkSite:
    return site_of(name)


def _leave(site: FrameworkSite, path: str) -> None:
    """Takes the first event of a stream and leaves; the stream must go on until then and end thereafter."""
    with site.visitor().http.stream("GET", f"/{path}/{site.key}") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == "data: 0"
        assert site.recorded() == []
    site.wait_recorded("the events end")


def _hear(*websockets: WebSocket) -> list[str | bytes]:
    """The next message that each of them gets."""
    return [websocket.recv(WAIT_SECONDS) for websocket in websockets]


def _hear_close(websocket: WebSocket) -> tuple[int, str]:
    """With which code and reason the server closes, with nothing before that."""
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(WAIT_SECONDS)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def _join(site: FrameworkSite, path: str, *names: str) -> list[WebSocket]:
    """Lets visitors log in and enter a room, one after the other; all have heard of all."""
    inside: list[WebSocket] = []
    for name in names:
        inside.append(site.visitor(name).open(path))
        assert _hear(*inside) == [f"{name} joined"] * len(inside)
    return inside


# --- What every framework can do ------------------------------------------------------------------------------------


@every_framework
def test_a_session_belongs_to_who_has_logged_in(framework_site: FrameworkSite) -> None:
    ada, bob, nobody = (framework_site.visitor() for _ in range(3))
    assert ada.log_in("ada", "wrong").status_code == 401
    assert ada.name() is None
    assert ada.log_in("ada").json() == {"user": "ada"}
    assert bob.log_in("bob").json() == {"user": "bob"}
    assert [visitor.name() for visitor in (ada, bob, nobody)] == ["ada", "bob", None]
    assert ada.http.post("/logout").is_success
    assert [visitor.name() for visitor in (ada, bob, nobody)] == [None, "bob", None]


@every_framework
def test_an_upload_of_20_mb_arrives_whole(framework_site: FrameworkSite) -> None:
    ada = framework_site.visitor("ada")
    response = ada.http.post("/upload", data={"note": "für später"}, files={"file": ("numbers.txt", UPLOAD)})
    assert response.json() == {"name": "numbers.txt", "note": "für später", "size": len(UPLOAD), "sha256": DIGEST}


@every_framework
def test_a_chunked_body_of_20_mb_arrives_whole(framework_site: FrameworkSite) -> None:
    ada = framework_site.visitor("ada")
    blocks = (UPLOAD[start : start + 100_000] for start in range(0, len(UPLOAD), 100_000))
    assert ada.http.put("/upload", content=blocks).json() == {"size": len(UPLOAD), "sha256": DIGEST}


@every_framework
def test_a_stream_arrives_while_it_is_made(framework_site: FrameworkSite) -> None:
    with framework_site.visitor().http.stream("GET", f"/stream/{framework_site.key}") as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        framework_site.open_gate()
        assert list(lines) == ["last"]


@every_framework
def test_events_end_when_the_client_leaves(framework_site: FrameworkSite) -> None:
    # What the log says of it is the matter of test_a_client_that_leaves_is_no_error_in_the_log.
    framework_site.may_complain = True
    _leave(framework_site, framework_site.framework.events)


@pytest.mark.parametrize("name", _HEARS_WHEN_SENDING)
def test_with_an_older_specification_events_end_even_when_none_is_to_be_sent(site_of: SiteOf, name: str) -> None:
    _leave(site_of(name, "--asgi-spec-version=2.3"), "quiet")


@every_framework
def test_a_client_that_leaves_is_no_error_in_the_log(name: str, loop: str, tmp_path: Path) -> None:
    with start(FRAMEWORKS[name], loop, folder=tmp_path) as server:
        site = FrameworkSite(FRAMEWORKS[name], server)
        _leave(site, site.framework.events)
        site.close()
        server.stop()
        assert site.complaints() == []


@every_framework
def test_work_in_the_background_holds_up_neither_its_response_nor_the_next_one(framework_site: FrameworkSite) -> None:
    ada = framework_site.visitor("ada")
    assert ada.http.post(f"/later/{framework_site.key}").json() is True
    assert ada.name() == "ada"
    assert framework_site.recorded() == []
    framework_site.open_gate()
    framework_site.wait_recorded("later")


@every_framework
def test_middleware_sees_requests_and_websockets(framework_site: FrameworkSite) -> None:
    ada = framework_site.visitor("ada")
    assert ada.http.get("/whoami").headers.get_list("X-Stamp") == ["/whoami"]
    assert ada.http.get("/nowhere").status_code == 404
    response = ada.open(f"/chat/{framework_site.key}").response
    assert response is not None and response.headers.get_all("X-Stamp") == [f"/chat/{framework_site.key}"]


@every_framework
def test_synchronous_code_runs_in_threads_and_holds_up_nobody(framework_site: FrameworkSite) -> None:
    visitors = [framework_site.visitor() for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(visitor.http.get, f"/thread/{framework_site.key}") for visitor in visitors]
        wait_until(lambda: framework_site.recorded() == ["in a thread"] * len(visitors), "all are in threads")
        loop_thread = framework_site.visitor().http.get("/").json()["thread"]
        assert not any(future.done() for future in waiting)
        framework_site.open_gate()
        threads = [future.result().json()["threads"] for future in waiting]
    assert [len(names) for names in threads] == [framework_site.framework.threads] * len(visitors)
    assert not any(loop_thread in names for names in threads)


@every_framework
def test_errors_are_500(serve_framework: Callable[..., ServerProcess], name: str, loop: str) -> None:
    with httpx.Client(base_url=serve_framework(name, loop).url) as client:
        assert client.get("/broken").status_code == 500
        assert client.get("/whoami").status_code == 200


@every_chat
def test_who_chats_is_heard_by_the_room_and_nowhere_else(framework_site: FrameworkSite, path: str) -> None:
    ada, bob = _join(framework_site, f"/{path}/{framework_site.key}", "ada", "bob")
    (cleo,) = _join(framework_site, f"/{path}/other-{framework_site.key}", "cleo")
    ada.send("hello")
    assert _hear(ada, bob) == ["ada: hello"] * 2
    bob.send("grüß dich")
    assert _hear(ada, bob) == ["bob: grüß dich"] * 2
    long = "0123456789" * 100_000
    ada.send(long)
    assert _hear(ada, bob) == [f"ada: {long}"] * 2
    cleo.send("nobody here")
    assert _hear(cleo) == ["cleo: nobody here"]


@every_chat
@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda websocket: websocket.close(4001, "to lunch"), 4001),
        (lambda websocket: websocket.close(), 1000),
        (lambda websocket: websocket.socket.shutdown(socket.SHUT_RDWR), 1006),
    ],
    ids=["with a code", "as most do", "by vanishing"],
)
def test_the_room_hears_who_leaves(
    framework_site: FrameworkSite, path: str, leave: Callable[[WebSocket], None], code: int
) -> None:
    ada, bob = _join(framework_site, f"/{path}/{framework_site.key}", "ada", "bob")
    leave(bob)
    assert _hear(ada) == [f"bob left with {code}" if framework_site.framework.tells_codes else "bob left"]
    ada.send("alone")
    assert _hear(ada) == ["ada: alone"]


@every_chat
def test_the_site_closes_with_a_code_and_a_reason(framework_site: FrameworkSite, path: str) -> None:
    ada, bob = _join(framework_site, f"/{path}/{framework_site.key}", "ada", "bob")
    bob.send("/quit")
    assert _hear_close(bob) == (4000, "goodbye")
    assert _hear(ada) == ["bob left by quitting"]


@every_chat
def test_who_has_not_logged_in_is_refused(framework_site: FrameworkSite, path: str) -> None:
    # Quart goes on sending when the client has read all; see what is said below of a client that is refused.
    framework_site.may_complain = framework_site.framework is FRAMEWORKS["quart"]
    (ada,) = _join(framework_site, f"/{path}/{framework_site.key}", "ada")
    with pytest.raises(InvalidStatus) as refused:
        framework_site.visitor().open(f"/{path}/{framework_site.key}")
    assert refused.value.response.status_code == framework_site.framework.refusal
    ada.send("nobody came")
    assert _hear(ada) == ["ada: nobody came"]


@every_chat
def test_a_room_of_ten_hears_every_word_in_order(framework_site: FrameworkSite, path: str) -> None:
    names = ["ada", "bob"] * 5
    inside = _join(framework_site, f"/{path}/{framework_site.key}", *names)
    for number in range(5):
        for websocket, seat in zip(inside, range(10), strict=True):
            websocket.send(f"{seat} {number}")
    for websocket in inside:
        heard = [str(websocket.recv(WAIT_SECONDS)).split() for _ in range(50)]
        for seat, name in enumerate(names):
            said = [word for who, chair, word in heard if (who, chair) == (f"{name}:", str(seat))]
            assert said == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "ends", ["raise", "raise LookupError from error", 'raise ExceptionGroup("one", [error]) from None']
)
def test_whatever_comes_of_a_client_that_leaves_is_no_error_in_the_log(
    serve_asgi: ServeAsgi, loop: str, ends: str
) -> None:
    site = serve_asgi(loop, "--lifespan=off", code=ENDLESS.format(ends=ends))
    connection = site.connect()
    connection.send(get("/"))
    assert connection.head().status == 200
    connection.close()
    site.server.wait_output("the client has left")
    site.server.stop()
    assert "Traceback" not in site.server.log()


def test_a_client_that_leaves_when_it_is_refused_is_no_error_in_the_log(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(loop, "--lifespan=off", code=REFUSES)
    connection = site.connect()
    connection.send(handshake("/"))
    assert connection.response().body == b"no"
    connection.close()
    site.server.wait_output("the client has left")
    site.server.stop()
    assert "Traceback" not in site.server.log()


@pytest.mark.parametrize("name", [name for name, framework in FRAMEWORKS.items() if framework.lifespan])
def test_the_lifespan_surrounds_all_requests_and_chats(name: str, loop: str, tmp_path: Path) -> None:
    with start(FRAMEWORKS[name], loop, folder=tmp_path) as server, ExitStack() as stack:
        ada = Visitor(server.url, stack)
        assert ada.http.get("/").json()["greeting"] == "hello from the lifespan"
        ada.log_in("ada")
        chat = ada.open("/chat/last")
        assert _hear(chat) == ["ada joined"]
        server.signal(signal.SIGTERM)
        assert _hear_close(chat)[0] == 1012
        server.wait_output("the lifespan ends")
        assert server.wait() == 0


# --- FastAPI --------------------------------------------------------------------------------------------------------


def test_fastapi_checks_models(site_of: SiteOf) -> None:
    http = site_of("fastapi").visitor().http
    response = http.post("/items", json={"name": "tea", "price": 2.5})
    assert response.json() == {"name": "TEA", "price": 5.0, "tags": ["seen"]}
    assert http.post("/items", json={"name": "tea"}).status_code == 422


def test_fastapi_sends_files(site_of: SiteOf) -> None:
    content = (SITES / "fastapi_site" / "main.py").read_bytes()
    assert site_of("fastapi").visitor().http.get("/file").content == content


# --- Django ---------------------------------------------------------------------------------------------------------


def test_django_wants_its_token(site_of: SiteOf) -> None:
    ada = site_of("django").visitor("ada")
    del ada.http.headers["X-CSRFToken"]
    assert ada.http.post("/logout").status_code == 403
    assert ada.name() == "ada"


@pytest.mark.parametrize("path", FRAMEWORKS["django"].chats)
def test_channels_refuse_pages_of_other_sites(site_of: SiteOf, path: str) -> None:
    site = site_of("django")
    with pytest.raises(InvalidStatus) as refused:
        site.visitor("ada").open(f"/{path}/{site.key}", origin="http://elsewhere.example")
    assert refused.value.response.status_code == 403


def test_django_reads_its_database(serve_bench: httpx.Client) -> None:
    assert serve_bench.get("/json").json() == {"message": "Hello, world!"}
    for key in range(1, 40):
        assert serve_bench.get(f"/db/{key}").json()["id"] == key


@pytest.fixture
def serve_bench(tmp_path: Path, loop: str) -> Iterator[httpx.Client]:
    """The bench site, which is synchronous."""
    env = {"BENCH_VAR": str(tmp_path)}
    with (
        ServerProcess.start("bench.asgi", loop, cwd=SITES / "bench_django", env=env) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client
