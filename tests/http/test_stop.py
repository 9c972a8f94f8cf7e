"""How the server ends: SIGTERM and SIGINT, with requests in flight and without."""

from __future__ import annotations

import signal
import socket
import time

import pytest
from conftest import Serve
from raw_client import Address, End, get
from wsgi_site import NamedPipe, Site, wait_until

STOPPING = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", STOPPING)
def test_an_idle_server_ends_at_once_with_exit_code_0(serve: Serve, number: signal.Signals) -> None:
    site = serve()
    site.assert_alive()
    site.server.signal(number)
    assert site.server.wait(10.0) == 0


@pytest.mark.parametrize("number", STOPPING)
def test_a_request_in_flight_is_finished(serve: Serve, pipe: NamedPipe, number: signal.Signals) -> None:
    site = serve()
    connection = site.connect()
    connection.send(get(site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    site.server.signal(number)
    wait_until(lambda: _refuses(site.address), "no new connections")
    pipe.release(b"finished")
    response = connection.response()
    assert (response.status, response.body, response.complete) == (200, b"finished", True)
    assert response.header("Connection") == "close"
    assert connection.wait_closed() == b""
    assert site.server.wait(10.0) == 0


def test_a_response_in_flight_is_finished(serve: Serve, pipe: NamedPipe) -> None:
    site = serve()
    connection = site.connect()
    connection.send(get(site.target("blocked_on_file", path=pipe.path, stream="yes")))
    response = connection.head()
    assert connection.read_chunk() == b"begun "
    pipe.wait_for_reader()
    site.server.signal(signal.SIGTERM)
    wait_until(lambda: _refuses(site.address), "no new connections")
    pipe.release(b"finished")
    connection.read_body(response)
    assert (response.body, response.end) == (b"finished", End.COMPLETE)
    assert site.server.wait(10.0) == 0


def test_idle_connections_do_not_hold_up_the_end(serve: Serve) -> None:
    site = serve()
    connections = [site.connect() for _ in range(5)]
    for connection in connections[1:]:
        connection.send(get("/hello"))
        assert connection.response().body == b"hello"
    site.server.signal(signal.SIGTERM)
    for connection in connections:
        assert connection.wait_closed() == b""
    assert site.server.wait(10.0) == 0


def test_the_second_sigint_ends_the_server_at_once(serve: Serve, pipe: NamedPipe) -> None:
    site = serve()
    connection = site.connect()
    connection.send(get(site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    site.server.signal(signal.SIGINT)
    wait_until(lambda: _refuses(site.address), "no new connections")
    assert site.server.process.poll() is None
    begun = time.monotonic()
    site.server.signal(signal.SIGINT)
    assert site.server.wait(10.0) == 0
    assert time.monotonic() - begun < 5.0


def test_an_idle_server_that_ends_at_once_claims_no_loss(serve: Serve) -> None:
    site = serve()
    with site.connect() as connection:
        connection.send(get("/hello"))
        assert connection.response().body == b"hello"
        site.server.signal(signal.SIGQUIT)
        assert site.server.wait(10.0) == 0
    assert "cut off" not in site.server.log()
    assert "still run" not in site.server.log()


def test_graceful_timeout_bounds_the_wait(serve: Serve, pipe: NamedPipe) -> None:
    site = serve("--graceful-timeout=1")
    connection = site.connect()
    connection.send(get(site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    begun = time.monotonic()
    site.server.signal(signal.SIGTERM)
    assert site.server.wait(15.0) == 0
    assert time.monotonic() - begun > 0.7
    connection.wait_closed()


def test_a_sigterm_to_a_server_under_load_loses_no_answer(serve: Serve) -> None:
    site = serve()
    connections = [site.connect() for _ in range(8)]
    for connection in connections:
        connection.send(get("/hello"))
    for connection in connections:
        assert connection.response().body == b"hello"
    # Each of these is either answered whole or the connection was closed before it was read.
    for connection in connections:
        connection.send(get("/large?size=200000"))
    site.server.signal(signal.SIGTERM)
    for connection in connections:
        try:
            response = connection.response()
        except (EOFError, ConnectionError):
            continue
        assert (response.status, len(response.body), response.complete) == (200, 200_000, True)
    assert site.server.wait(15.0) == 0


def test_half_a_request_does_not_hold_up_the_end_beyond_the_grace_period(serve: Serve) -> None:
    site: Site = serve("--graceful-timeout=2")
    connection = site.connect()
    connection.send(b"GET /hello HTTP/1.1\r\nHost:")
    site.assert_alive()
    site.server.signal(signal.SIGTERM)
    assert site.server.wait(15.0) == 0


def _refuses(address: Address) -> bool:
    assert isinstance(address, tuple)
    try:
        with socket.create_connection(address, timeout=1.0):
            return False
    except ConnectionRefusedError:
        return True
