"""The queue before the Python threads: bounded in length and time; what the server answers without Python."""

from __future__ import annotations

import select
import time

from conftest import Serve
from raw_client import Connection, Response, get, request
from wsgi_site import NamedPipe, Site


def test_a_full_queue_answers_503_at_once(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--threads=1", "--queue-size=1")
    running = _occupy(site, pipe)
    waiting = [site.connect() for _ in range(3)]
    for connection in waiting:
        connection.send(get(site.target("mark")))
    refused = _first_to_answer(waiting, 2)
    for connection in refused:
        _assert_503(connection.response())
        waiting.remove(connection)
    pipe.release(b"released")
    assert running.response().body == b"released"
    assert waiting[0].response().body == b"hello"
    assert site.recorded("ran") == ["ran"]


def test_a_refused_connection_may_try_again(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--threads=1", "--queue-size=1", "--queue-timeout=0")
    running = _occupy(site, pipe)
    others = [site.connect() for _ in range(2)]
    for connection in others:
        connection.send(get("/hello"))
    (refused,) = _first_to_answer(others, 1)
    _assert_503(refused.response())
    pipe.release(b"released")
    assert running.response().body == b"released"
    others.remove(refused)
    assert others[0].response().body == b"hello"
    again = refused if refused.is_open() else site.connect()
    again.send(get("/hello"))
    assert again.response().body == b"hello"


def test_a_request_that_waits_too_long_gets_503_and_is_not_run(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--threads=1", "--queue-timeout=0.5")
    running = _occupy(site, pipe)
    begun = time.monotonic()
    connection = site.connect()
    connection.send(get(site.target("mark")))
    _assert_503(connection.response())
    assert time.monotonic() - begun > 0.3
    pipe.release(b"released")
    assert running.response().body == b"released"
    assert site.get("hello").body == b"hello"
    assert site.recorded() == []


def test_a_request_whose_client_has_gone_is_not_run(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--threads=1")
    running = _occupy(site, pipe)
    for farewell in (Connection.close, Connection.reset):
        for data in (get(site.target("mark")), request("POST", site.target("mark"), body=b"x" * 100)):
            leaving = Connection(site.address)
            leaving.send(data)
            # Answered without Python, hence after what came before it was read.
            assert site.fetch(get("/%00")).status == 400
            farewell(leaving)
    assert site.fetch(get("/%00")).status == 400
    pipe.release(b"released")
    assert running.response().body == b"released"
    assert site.get("hello").body == b"hello"
    assert site.recorded() == []


def test_the_health_path_is_answered_without_python(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--threads=1", "--queue-size=1", "--health-path=/healthz", "--root-path=/app")
    running = _occupy(site, pipe, "/app")
    waiting = [site.connect() for _ in range(2)]
    for connection in waiting:
        connection.send(get("/app/hello"))
    (refused,) = _first_to_answer(waiting, 1)
    _assert_503(refused.response())

    connection = site.connect()
    for _ in range(3):
        connection.send(get("/healthz"))
        response = connection.response()
        assert (response.status, response.complete) == (200, True)
    connection.send(get("/healthz?probe=1"))
    assert connection.response().status == 200
    connection.send(request("HEAD", "/healthz"))
    assert connection.response("HEAD").status == 200
    begun = time.monotonic()
    connection.send(get("/healthz"))
    assert connection.response().status == 200
    assert time.monotonic() - begun < 0.2

    pipe.release(b"released")
    assert running.response().body == b"released"


def test_without_the_option_there_is_no_health_path(http_site: Site) -> None:
    assert b"environ" in http_site.fetch(get("/healthz")).body


def _occupy(site: Site, pipe: NamedPipe, prefix: str = "") -> Connection:
    """Holds the only thread until `pipe` is released."""
    connection = site.connect()
    connection.send(get(prefix + site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    return connection


def _first_to_answer(connections: list[Connection], count: int) -> list[Connection]:
    """The first `count` connections that have something to read; fails when there are more."""
    ready: set[Connection] = set()
    deadline = time.monotonic() + 10.0
    while len(ready) < count:
        assert time.monotonic() < deadline, f"only {len(ready)} of {len(connections)} were answered"
        sockets = {connection.socket: connection for connection in connections if connection not in ready}
        ready |= {sockets[found] for found in select.select(list(sockets), [], [], 0.2)[0]}
    assert len(ready) == count
    return [connection for connection in connections if connection in ready]


def _assert_503(response: Response) -> None:
    assert (response.status, response.complete) == (503, True)
    assert len(response.body) < 1000
    assert int(response.header("Retry-After") or "0") >= 1
