"""Expect: 100-continue (RFC 9110 section 10.1.1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Serve
from raw_client import chunked, get, request
from wsgi_site import Site, body_json

EXPECT = ("Expect", "100-continue")


@pytest.fixture(scope="module")
def unbuffered(serve_module: Serve) -> Iterator[Site]:
    """A server that reads nothing ahead: only the application wants bodies."""
    yield serve_module("--request-buffer=0")


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_waits_for_100_continue_gets_it(http_site: Site, size: int, framing: str) -> None:
    connection = http_site.connect()
    header = ("Content-Length", str(size)) if framing == "length" else ("Transfer-Encoding", "chunked")
    connection.send(request("POST", http_site.target("input_digest"), EXPECT, header))
    interim = connection.head()
    assert (interim.status, interim.reason, interim.headers) == (100, "Continue", [])
    body = b"x" * size
    connection.send_in_background(body if framing == "length" else chunked(body))
    response = connection.response()
    assert (body_json(response)["total"], response.interim) == (size, [])
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


def test_100_continue_is_sent_when_the_application_first_reads(unbuffered: Site) -> None:
    site = Site(unbuffered.server)
    connection = site.connect()
    connection.send(request("POST", site.target("input_gated"), EXPECT, ("Content-Length", "5")))
    assert "started" in site.recorded("started")
    site.whole_log()
    connection.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        connection.socket.recv(1)
    site.open_gate()
    assert connection.head().status == 100
    connection.send(b"12345")
    assert body_json(connection.response()) == 5


@pytest.mark.parametrize("header", [("Content-Length", "5"), ("Transfer-Encoding", "chunked")])
def test_100_continue_is_not_sent_when_the_application_never_reads(unbuffered: Site, header: tuple[str, str]) -> None:
    site = Site(unbuffered.server)
    connection = site.connect()
    connection.send(request("POST", site.target("mark"), EXPECT, header))
    response = connection.response()
    assert (response.status, response.interim) == (200, [])
    # The client may now send the body or not: nobody can tell what comes next.
    assert connection.wait_closed() == b""


def test_a_client_that_does_not_wait_for_100_continue_is_served(http_site: Site) -> None:
    connection = http_site.connect()
    for _ in range(3):
        connection.send(request("POST", "/input_echo?step=100", EXPECT, body=b"body"))
        assert connection.response().body == b"body"


def test_100_continue_is_not_sent_to_http_1_0(http_site: Site) -> None:
    response = http_site.fetch(request("POST", "/input_echo?step=100", EXPECT, body=b"body", version="HTTP/1.0"))
    assert (response.body, response.interim) == (b"body", [])


def test_100_continue_is_not_sent_where_there_is_no_body(http_site: Site) -> None:
    assert http_site.fetch(get("/hello", EXPECT)).interim == []


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_the_expectation_is_compared_without_case(http_site: Site, value: str) -> None:
    connection = http_site.connect()
    connection.send(request("POST", "/input_echo?step=100", ("Expect", value), ("Content-Length", "4")))
    assert connection.head().status == 100
    connection.send(b"body")
    assert connection.response().body == b"body"


def test_other_expectations_are_refused(http_site: Site) -> None:
    response = http_site.fetch(request("POST", http_site.target("mark"), ("Expect", "200-ok"), body=b"x"))
    assert (response.status, response.interim) == (417, [])
    assert http_site.recorded() == []
