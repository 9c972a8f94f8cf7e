"""Persistent connections and pipelining (RFC 9112 sections 9.3 and 9.3.2)."""

from __future__ import annotations

import pytest
from conftest import Serve
from raw_client import End, get, post, post_chunked, request
from wsgi_site import Site


def test_a_connection_serves_one_request_after_the_other(http_site: Site) -> None:
    connection = http_site.connect()
    for _ in range(50):
        connection.send(get("/hello"))
        response = connection.response()
        assert (response.version, response.status, response.body) == ("HTTP/1.1", 200, b"hello")
        assert response.header("Connection") is None
    assert connection.is_open()


@pytest.mark.parametrize("value", ["close", "Close", "CLOSE", "keep-alive, close", "x ,close,y"])
def test_the_connection_is_closed_when_the_client_asks_for_it(http_site: Site, value: str) -> None:
    connection = http_site.connect()
    connection.send(get("/hello", ("Connection", value)))
    response = connection.response()
    assert (response.body, response.header("Connection")) == (b"hello", "close")
    assert connection.wait_closed() == b""


@pytest.mark.parametrize("count", [0, 10])
@pytest.mark.parametrize("sent", [70_000, 150_000, 400_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_is_left_unread_breaks_no_promise(http_site: Site, framing: str, sent: int, count: int) -> None:
    connection = http_site.connect()
    target, body = http_site.target("input_first_bytes", count=count), b"x" * sent
    data = post(target, body) if framing == "length" else post_chunked(target, body[:65_000], body[65_000:])
    connection.send_in_background(data)
    response = connection.response()
    assert (response.status, response.body) == (200, b"%d" % count)
    if response.header("Connection") == "close":
        assert connection.wait_closed() == b""
    else:
        connection.finish_background()
        connection.send(get("/hello"))
        assert connection.response().body == b"hello"


def test_a_body_that_is_left_unread_and_still_arriving_ends_the_connection_with_a_word(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(post(http_site.target("input_first_bytes", count=0), b"x" * 200_000)[:100_000])
    response = connection.response()
    assert (response.status, response.header("Connection")) == (200, "close")
    assert connection.wait_closed() == b""


def test_an_empty_line_behind_a_request_begins_no_other(serve: Serve) -> None:
    site = serve("--header-timeout=1", "--keep-alive=4")
    connection = site.connect()
    connection.send(post("/hello", b"x") + b"\r\n")
    assert connection.response().body == b"hello"
    # Meanwhile a head that was really begun runs out of time.
    begun = site.connect()
    begun.send(b"G")
    assert begun.response().status == 408
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"
    connection.send(b"\r\n")
    assert connection.wait_closed() == b"", "an idle connection is closed without a word"


def test_http_1_0_closes_after_the_response(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(request("GET", "/hello", version="HTTP/1.0"))
    response = connection.response()
    assert (response.status, response.body) == (200, b"hello")
    assert connection.wait_closed() == b""


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive"])
def test_http_1_0_is_kept_alive_when_the_client_asks_for_it(http_site: Site, value: str) -> None:
    connection = http_site.connect()
    for _ in range(3):
        connection.send(request("GET", "/hello", ("Connection", value), version="HTTP/1.0"))
        response = connection.response()
        assert (response.body, response.end) == (b"hello", End.COMPLETE)
        assert (response.header("Connection") or "").lower() == "keep-alive"


def test_http_1_0_keep_alive_ends_where_only_the_close_can_end_the_body(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(request("GET", "/generator", ("Connection", "keep-alive"), version="HTTP/1.0"))
    response = connection.response()
    assert (response.body, response.end) == (b"one two", End.CLOSED)
    assert response.header("Transfer-Encoding") is None
    assert (response.header("Connection") or "close").lower() == "close"


def test_pipelined_requests_are_answered_in_order(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(b"".join(get(f"/environ_dump/{number}") for number in range(60)))
    for number in range(60):
        assert f'/environ_dump/{number}"'.encode() in connection.response().body


def test_pipelined_requests_with_bodies_are_kept_apart(http_site: Site) -> None:
    connection = http_site.connect()
    requests = []
    for number in range(20):
        body = b"%d-" % number * (number * 50 + 1)
        target = "/input_echo?step=100000"
        requests.append(
            post_chunked(target, body[:3], body[3:]) if number % 2 and len(body) > 3 else post(target, body)
        )
    connection.send_in_background(b"".join(requests))
    for number in range(20):
        assert connection.response().body == b"%d-" % number * (number * 50 + 1)


def test_a_slow_first_answer_keeps_its_place(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(get(http_site.target("blocked")) + get("/hello"))
    assert "started" in http_site.recorded("started")
    http_site.open_gate()
    assert [connection.response().body, connection.response().body] == [b"released", b"hello"]


@pytest.mark.parametrize("app", ["stream_and_wait", "read_then_wait"])
def test_a_request_is_not_run_before_the_streamed_response_ahead_of_it_is_over(http_site: Site, app: str) -> None:
    connection = http_site.connect()
    connection.send_in_background(post(http_site.target(app), b"x" * 200_000) + get(http_site.target("mark")))
    response = connection.head()
    assert connection.read_chunk() == b"first"
    assert "ran" not in http_site.recorded("asked for the second")
    http_site.open_gate()
    assert connection.read_chunk() == b"second"
    connection.read_body(response)
    assert connection.response().body == b"hello"
    assert "ran" in http_site.recorded("ran")


def test_requests_after_one_that_closes_are_not_answered(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(get("/hello", ("Connection", "close")) + get(http_site.target("mark")))
    assert connection.response().body == b"hello"
    assert connection.wait_closed() == b""
    http_site.whole_log()
    assert http_site.recorded() == []


def test_a_request_may_arrive_byte_by_byte(http_site: Site) -> None:
    connection = http_site.connect()
    connection.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
    data = post("/input_echo?step=100", b"the body", ("X-Header", "value"))
    for at in range(len(data)):
        connection.send(data[at : at + 1])
    assert connection.response().body == b"the body"


@pytest.mark.parametrize("cut", [1, 5, 16, 30, 47])
def test_a_pipelined_request_may_be_cut_anywhere(http_site: Site, cut: int) -> None:
    connection = http_site.connect()
    second = get("/hello")
    connection.send(get("/hello") + second[:cut])
    assert connection.response().body == b"hello"
    connection.send(second[cut:])
    assert connection.response().body == b"hello"


def test_an_empty_line_before_a_request_is_ignored(http_site: Site) -> None:
    # RFC 9112 2.2: some clients send one too many after a body.
    connection = http_site.connect()
    connection.send(b"\r\n" + get("/hello"))
    assert connection.response().body == b"hello"
    connection.send(b"\r\n" + get("/hello"))
    assert connection.response().body == b"hello"


def test_what_a_client_sends_behind_its_last_request_does_not_cut_the_response_short(http_site: Site) -> None:
    connection = http_site.connect(receive_buffer=8192)
    connection.send(get("/large?size=3000000", ("Connection", "close")))
    response = connection.head()
    connection.send(get("/hello"))
    connection.read_body(response)
    assert (len(response.body), response.end) == (3_000_000, End.COMPLETE)
