"""How large requests may be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Serve
from raw_client import Connection, Response, chunked, get, post, post_chunked, request
from wsgi_site import Site, body_json

LINE, HEAD, FIELDS, BODY = 200, 1024, 10, 100_000


@pytest.fixture(scope="module")
def _server(serve_module: Serve) -> Site:
    return serve_module(
        f"--limit-request-line={LINE}",
        f"--limit-request-head={HEAD}",
        f"--limit-request-fields={FIELDS}",
        f"--limit-request-body={BODY}",
        "--request-buffer=16K",
    )


@pytest.fixture
def limited(_server: Site) -> Iterator[Site]:
    """A server with low limits, and a key for this test."""
    site = Site(_server.server)
    yield site
    site.close()


def _refused(site: Site, connection: Connection, status: int) -> Response:
    """The response must be small and right, and the connection then closed."""
    response = connection.response()
    assert (response.status, response.complete) == (status, True), response
    assert len(response.body) < 1000
    assert response.header("Connection") == "close"
    connection.wait_closed()
    site.assert_alive()
    return response


def _line(length: int) -> str:
    """The target of a request line of `length` bytes, its line end not counted."""
    return "/hello?" + "x" * (length - len("GET /hello? HTTP/1.1"))


def test_a_request_line_of_the_limit_is_served(limited: Site) -> None:
    assert limited.fetch(get(_line(LINE))).body == b"hello"


@pytest.mark.parametrize("length", [LINE + 1, LINE + 100, 100_000])
def test_a_longer_request_line_is_414(limited: Site, length: int) -> None:
    connection = limited.connect()
    connection.send_in_background(get(_line(length)))
    _refused(limited, connection, 414)


def test_a_method_longer_than_any_known_one_is_501(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send_in_background(request("A" * 40_000, "/hello"))
    _refused(http_site, connection, 501)


@pytest.mark.parametrize("length", [2**63, 2**64 - 2, 2**64 - 1])
def test_a_content_length_beyond_all_sense_is_413_without_a_limit(serve: Serve, length: int) -> None:
    site = serve("--limit-request-body=0")
    connection = site.connect()
    connection.send(request("POST", "/hello", ("Content-Length", str(length))))
    _refused(site, connection, 413)


def test_chunk_extensions_without_end_are_400(http_site: Site) -> None:
    connection = http_site.connect()
    chunks = (b"1;" + b"x" * 200 + b"\r\nx\r\n") * 200
    head = request("POST", http_site.target("input_digest"), ("Transfer-Encoding", "chunked"))
    connection.send_in_background(head + chunks + b"0\r\n\r\n")
    _refused(http_site, connection, 400)


@pytest.mark.parametrize("line", [b"X-A: " + b"x" * 15_000 + b"\r\n", b"a:\r\n" * 60])
def test_trailers_without_end_are_431(http_site: Site, line: bytes) -> None:
    connection = http_site.connect()
    head = request("POST", http_site.target("input_digest"), ("Transfer-Encoding", "chunked"))
    connection.send_in_background(head + b"1\r\nx\r\n0\r\n" + line * 2 + b"\r\n")
    _refused(http_site, connection, 431)


def test_a_request_line_that_never_ends_is_414(limited: Site) -> None:
    connection = limited.connect()
    connection.send(b"GET /" + b"x" * (LINE + 10))
    _refused(limited, connection, 414)


def test_header_lines_up_to_the_limit_are_served(limited: Site) -> None:
    assert limited.fetch(get("/hello", *[("X", "y")] * (FIELDS - 1))).body == b"hello"


def test_more_header_lines_are_431(limited: Site) -> None:
    connection = limited.connect()
    connection.send(get("/hello", *[("X", "y")] * FIELDS))
    _refused(limited, connection, 431)


def test_a_large_header_block_is_431(limited: Site) -> None:
    assert limited.fetch(get("/hello", ("X", "y" * (HEAD - 100)))).body == b"hello"
    connection = limited.connect()
    connection.send(get("/hello", ("X", "y" * HEAD)))
    _refused(limited, connection, 431)


def test_a_header_block_that_never_ends_is_431(limited: Site) -> None:
    connection = limited.connect()
    connection.send(b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (HEAD + 10))
    _refused(limited, connection, 431)


def test_a_body_of_the_limit_is_served(limited: Site) -> None:
    assert body_json(limited.post(bytes(BODY), "input_digest"))["total"] == BODY
    parts = [bytes(BODY // 10)] * 10
    response = limited.fetch(post_chunked(limited.target("input_digest"), *parts))
    assert body_json(response)["total"] == BODY


@pytest.mark.parametrize("length", [BODY + 1, 10_000_000, 1 << 62])
def test_a_larger_content_length_is_413_before_the_application_runs(limited: Site, length: int) -> None:
    connection = limited.connect()
    connection.send(request("POST", limited.target("mark"), ("Content-Length", str(length))))
    _refused(limited, connection, 413)
    assert limited.recorded() == []


def test_a_larger_content_length_gets_no_100_continue(limited: Site) -> None:
    connection = limited.connect()
    headers = [("Content-Length", str(BODY + 1)), ("Expect", "100-continue")]
    connection.send(request("POST", limited.target("mark"), *headers))
    assert _refused(limited, connection, 413).interim == []


def test_the_413_arrives_although_the_client_goes_on_sending(limited: Site) -> None:
    connection = limited.connect()
    connection.send_in_background(post(limited.target("mark"), bytes(2_000_000)))
    _refused(limited, connection, 413)


def test_a_chunked_body_that_grows_too_large_is_413(limited: Site) -> None:
    connection = limited.connect()
    connection.send(request("POST", limited.target("input_until_error"), ("Transfer-Encoding", "chunked")))
    connection.send(chunked(bytes(BODY // 2), last=False))
    assert "started" in limited.recorded("started")
    connection.send_in_background(chunked(bytes(BODY // 2 + 1)))
    _refused(limited, connection, 413)
    assert limited.recorded("OSError") == ["started", "OSError"]


def test_one_chunk_that_is_too_large_is_413(limited: Site) -> None:
    connection = limited.connect()
    connection.send(request("POST", limited.target("input_digest"), ("Transfer-Encoding", "chunked")) + b"fffffff\r\n")
    connection.send_in_background(bytes(BODY + 1))
    _refused(limited, connection, 413)


def test_a_chunked_body_that_grows_too_large_while_read_ahead_is_413_before_the_application_runs(serve: Serve) -> None:
    site = serve("--limit-request-body=1000")
    connection = site.connect()
    connection.send(post_chunked(site.target("mark"), bytes(600), bytes(600)))
    _refused(site, connection, 413)
    assert site.recorded() == []


def test_zero_means_no_limit_for_bodies(serve: Serve) -> None:
    site = serve("--limit-request-body=0")
    assert body_json(site.post(bytes(3_000_000), "input_digest"))["total"] == 3_000_000


def test_connections_beyond_the_limit_wait(serve: Serve) -> None:
    site = serve("--max-connections=3")
    open_ones = [site.connect() for _ in range(3)]
    for connection in open_ones:
        connection.send(get("/hello"))
        assert connection.response().body == b"hello"
    waiting = site.connect()
    waiting.send(get("/hello"))
    open_ones[0].send(get("/hello"))
    assert open_ones[0].response().body == b"hello"
    waiting.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        waiting.socket.recv(1)
    open_ones[1].close()
    assert waiting.response().body == b"hello"
    waiting.close()
