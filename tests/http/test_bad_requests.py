"""Requests that must be refused, because two readings of them are possible or RFC 9112 says so."""

from __future__ import annotations

import pytest
from raw_client import get, post, request
from wsgi_site import Site

SMUGGLED = b"GET /raising?error=RuntimeError HTTP/1.1\r\nHost: x\r\n\r\n"

HEADS: list[tuple[str, int, bytes]] = [
    # Name, status, request with {m} for the target of an application that must not run.
    (
        "length and chunked",
        400,
        b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked and length",
        400,
        b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("two equal lengths", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("length list", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello"),
    ("length with sign", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello"),
    ("negative length", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: -0\r\n\r\n"),
    ("length with underscore", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n"),
    ("hexadecimal length", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("empty length", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n"),
    ("length beyond 64 bits", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    ("two hosts", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    ("two equal hosts", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    ("no host", 400, b"GET {m} HTTP/1.1\r\n\r\n"),
    ("host with a path", 400, b"GET {m} HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    ("host with user", 400, b"GET {m} HTTP/1.1\r\nHost: user@x\r\n\r\n"),
    (
        "two content types",
        400,
        b"POST {m} HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    ),
    ("bare LF", 400, b"GET {m} HTTP/1.1\nHost: x\n\n"),
    ("bare LF in headers", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX: y\nZ: w\r\n\r\n"),
    ("bare CR in value", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX: y\rz\r\n\r\n"),
    ("folded line", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n"),
    ("first line folded", 400, b"GET {m} HTTP/1.1\r\n Host: x\r\n\r\n"),
    ("space before colon", 400, b"GET {m} HTTP/1.1\r\nHost : x\r\n\r\n"),
    ("no colon", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
    ("empty name", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"),
    ("name with bytes beyond ASCII", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX\xe4: y\r\n\r\n"),
    ("NUL in value", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX: y\0z\r\n\r\n"),
    ("control character in value", 400, b"GET {m} HTTP/1.1\r\nHost: x\r\nX: y\x1bz\r\n\r\n"),
    ("unknown coding", 501, b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("gzip before chunked", 501, b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", 400, b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (
        "two codings lines",
        400,
        b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunked on HTTP/1.0", 400, b"POST {m} HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "underscored coding is no way around",
        400,
        b"POST {m} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    ("HTTP/2.0", 505, b"GET {m} HTTP/2.0\r\nHost: x\r\n\r\n"),
    ("HTTP/3.7", 505, b"GET {m} HTTP/3.7\r\nHost: x\r\n\r\n"),
    ("HTTP/2 preface", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("no version", 400, b"GET {m}\r\nHost: x\r\n\r\n"),
    ("lower-case version", 400, b"GET {m} http/1.1\r\nHost: x\r\n\r\n"),
    ("two spaces", 400, b"GET  {m} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("space in target", 400, b"GET {m} x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("method that is no token", 400, b"G@T {m} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("CONNECT", 405, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
    ("GET asterisk", 400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("GET authority", 400, b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("relative target", 400, b"GET hello HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("garbage", 400, b"\x00\x01\x02\x03\r\n\r\n"),
]

CHUNKS = [
    b"-5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5_0\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello!\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0 \r\n\r\n", b"5;\n\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize(("status", "raw"), [case[1:] for case in HEADS], ids=[case[0] for case in HEADS])
def test_a_bad_head_is_refused_and_the_connection_closed(http_site: Site, status: int, raw: bytes) -> None:
    _assert_refused(http_site, status, raw.replace(b"{m}", http_site.target("mark").encode()))


@pytest.mark.parametrize("body", CHUNKS, ids=[repr(chunks)[2:-1] for chunks in CHUNKS])
def test_a_malformed_chunked_body_is_refused_before_the_application_runs(http_site: Site, body: bytes) -> None:
    head = f"POST {http_site.target('mark')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    _assert_refused(http_site, 400, head.encode() + body)


def test_a_refused_head_request_gets_no_body(http_site: Site) -> None:
    for raw in (b"HEAD /hello HTTP/1.1\r\n\r\n", request("HEAD", "/hello", ("Bad Name", "x"))):
        connection = http_site.connect()
        connection.send(raw)
        response = connection.response("HEAD")
        assert (response.status, response.header("Connection")) == (400, "close")
        assert connection.wait_closed() == b""


def test_405_names_what_is_allowed(http_site: Site) -> None:
    response = http_site.fetch(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
    assert (response.status, response.header("Allow") is not None) == (405, True)


def test_tls_on_a_plain_port_is_answered_in_plain_text_or_closed(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(bytes.fromhex("16030100a5010000a10303") + bytes(160))
    raw = connection.wait_closed()
    assert raw == b"" or raw.startswith(b"HTTP/1.1 400 ")
    http_site.assert_alive()


def test_requests_before_a_bad_one_are_answered_first(http_site: Site) -> None:
    connection = http_site.connect()
    connection.send(get("/hello") + post("/input_echo?step=10", b"body") + b"GET /hello\r\n\r\n" + get("/hello"))
    assert [connection.response().body, connection.response().body] == [b"hello", b"body"]
    assert connection.response().status == 400
    assert connection.wait_closed() == b""


def _assert_refused(site: Site, status: int, raw: bytes) -> None:
    connection = site.connect()
    connection.send(raw + SMUGGLED)
    response = connection.response()
    assert (response.status, response.complete, response.interim) == (status, True, []), response
    assert len(response.body) < 1000
    assert response.header("Content-Length") == str(len(response.body))
    assert response.header("Connection") == "close"
    assert connection.wait_closed() == b"", "a second answer came"
    site.whole_log()
    assert site.recorded() == [], "the application ran"
