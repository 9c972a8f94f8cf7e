"""Deadlines for clients: heads, bodies, idle connections, responses that nobody takes."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

import pytest
from conftest import Serve
from raw_client import Connection, End, chunked, get, request
from wsgi_site import Site

SOONEST = 0.7
"""Seconds before which a deadline of one second must not have passed: the timer is coarse."""


@pytest.fixture(scope="module")
def _server(serve_module: Serve) -> Site:
    return serve_module(
        "--header-timeout=1", "--keep-alive=1", "--body-timeout=1", "--body-min-rate=1000", "--write-timeout=1"
    )


@pytest.fixture
def hasty(_server: Site) -> Iterator[Site]:
    """A server whose deadlines are all one second, and a key for this test."""
    site = Site(_server.server)
    yield site
    site.close()


@pytest.mark.parametrize("part", [b"G", b"GET /hello HTTP/1.1\r\n", b"GET /hello HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_does_not_become_whole_in_time_is_408(hasty: Site, part: bytes) -> None:
    begun = time.monotonic()
    connection = hasty.connect()
    connection.send(part)
    _assert_408(connection)
    assert time.monotonic() - begun > SOONEST


def test_a_head_that_dribbles_is_408_however_long_it_goes_on(hasty: Site) -> None:
    connection = hasty.connect()
    sent = _send_slowly(connection, b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000, 1, 0.05)
    assert sent < 500
    _assert_408(connection)


def test_a_second_head_that_does_not_become_whole_in_time_is_408(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send(get("/hello") + b"GET /hel")
    assert connection.response().body == b"hello"
    _assert_408(connection)


def test_a_connection_without_a_request_is_closed(hasty: Site) -> None:
    connection = hasty.connect()
    raw = connection.wait_closed()
    assert raw == b"" or raw.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"
    idle_since = time.monotonic()
    assert connection.wait_closed() == b""
    assert time.monotonic() - idle_since > SOONEST


def test_a_connection_in_use_is_not_closed(hasty: Site) -> None:
    idle, busy = hasty.connect(), hasty.connect()
    idle.send(get("/hello"))
    assert idle.response().body == b"hello"
    while idle.is_open():
        busy.send(get("/hello"))
        assert busy.response().body == b"hello"
    busy.send(get("/hello"))
    assert busy.response().body == b"hello"


def test_no_deadline_of_clients_applies_to_the_application(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send(get(hasty.target("blocked")))
    assert "started" in hasty.recorded("started")
    for _ in range(2):
        hasty.connect().wait_closed()
    assert connection.is_open()
    hasty.open_gate()
    assert connection.response().body == b"released"


def test_keep_alive_0_bounds_the_wait_for_the_first_request(serve: Serve) -> None:
    begun = time.monotonic()
    assert serve("--keep-alive=0", "--header-timeout=1").connect().wait_closed() == b""
    assert time.monotonic() - begun > SOONEST


def test_keep_alive_0_closes_after_each_response(serve: Serve) -> None:
    connection = serve("--keep-alive=0").connect()
    connection.send(get("/hello"))
    response = connection.response()
    assert (response.body, response.header("Connection")) == (b"hello", "close")
    assert connection.wait_closed() == b""


@pytest.mark.parametrize(("framing", "length"), [("length", 5000), ("length", 5_000_000), ("chunked", 0)])
def test_a_body_that_stalls_while_read_ahead_is_408_and_nothing_runs(hasty: Site, framing: str, length: int) -> None:
    connection = hasty.connect()
    connection.send(_upload(hasty, "mark", framing, length) + (b"xx" if framing == "length" else b"5\r\nxx"))
    _assert_408(connection)
    assert hasty.recorded() == []


def test_a_body_below_the_minimum_rate_is_408(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send(_upload(hasty, "mark", "length", 5000))
    assert _send_slowly(connection, b"x" * 5000, 10, 0.05) < 4000
    _assert_408(connection)


def test_a_slow_body_above_the_minimum_rate_is_served(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send(request("POST", hasty.target("input_digest"), ("Content-Length", "15000")))
    assert _send_slowly(connection, b"x" * 15_000, 300, 0.05) == 15_000
    assert connection.response().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_stalls_while_the_application_reads_is_an_os_error_there(hasty: Site, framing: str) -> None:
    connection = hasty.connect()
    body = b"x" * 200_000
    connection.send(_upload(hasty, "input_until_error", framing))
    connection.send(body if framing == "length" else chunked(body, last=False))
    assert hasty.recorded("started", "OSError") == ["started", "OSError"]
    connection.wait_closed()


def test_a_body_that_the_application_does_not_read_yet_is_not_too_slow(hasty: Site) -> None:
    connection = hasty.connect()
    connection.send_in_background(_upload(hasty, "input_gated", "length") + b"x" * 5_000_000)
    assert "started" in hasty.recorded("started")
    for _ in range(2):
        hasty.connect().wait_closed()
    hasty.open_gate()
    assert connection.response().body == b"5000000"


@pytest.mark.parametrize("app", ["gigabyte", "gigabyte_written"])
def test_a_client_that_takes_no_bytes_is_given_up(hasty: Site, app: str) -> None:
    connection = hasty.connect(receive_buffer=65536)
    connection.send(get(hasty.target(app, step=65536)))
    assert "closed" in hasty.recorded("closed")
    response = connection.head()
    connection.read_body(response)
    assert response.end in (End.TRUNCATED, End.RESET)


@pytest.mark.parametrize("step", [200_000, 20_000])
@pytest.mark.parametrize(("app", "chunks"), [("large", {}), ("large", {"step": 65536}), ("file_real", {})])
def test_a_slow_reader_who_takes_some_bytes_is_served_on(
    hasty: Site, app: str, chunks: dict[str, int], step: int
) -> None:
    connection = hasty.connect(receive_buffer=65536)
    connection.send(get(hasty.target(app, size=20_000_000, **chunks)))
    response = connection.head()
    connection.receive_slowly(0.1, step, 40)
    connection.read_body(response)
    assert response.complete


def _assert_408(connection: Connection) -> None:
    response = connection.response()
    assert (response.status, response.complete, response.header("Connection")) == (408, True, "close")
    assert connection.wait_closed() == b""


def _upload(site: Site, app: str, framing: str, length: int = 5_000_000) -> bytes:
    header = ("Content-Length", str(length)) if framing == "length" else ("Transfer-Encoding", "chunked")
    return request("POST", site.target(app), header)


def _send_slowly(connection: Connection, data: bytes, step: int, pause: float) -> int:
    """Sends `step` bytes every `pause` seconds, until an answer comes; returns how many went out."""
    for at in range(0, len(data), step):
        if select.select([connection.socket], [], [], pause)[0]:
            return at
        connection.send(data[at : at + step])
    return len(data)
