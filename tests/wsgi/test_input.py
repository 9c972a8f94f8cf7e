"""wsgi.input: a binary file over the request's body (PEP 3333 "Input and Error Streams")."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import apps
import pytest
from conftest import Serve
from raw_client import End, chunked, get, post, post_chunked, request
from wsgi_site import Site, body_json

uses = pytest.mark.uses
LINES = b"one\ntwo\n\nfour"
BEYOND_BUFFER = 300_000
"""Bytes of a body that does not fit into the read-ahead of 64 KiB."""

CALLS: list[tuple[str, list[object]]] = [
    ("read:-1,read:-1", ["one\ntwo\n\nfour", ""]),
    ("read:None,read:5", ["one\ntwo\n\nfour", ""]),
    ("read:3,read:1,read:100,read:1,readline", ["one", "\n", "two\n\nfour", "", ""]),
    ("read:0,read:2,read:0,read:-1", ["", "on", "", "e\ntwo\n\nfour"]),
    ("readline,readline,readline,readline,readline", ["one\n", "two\n", "\n", "four", ""]),
    ("readline:2,readline:2,readline:100,readline:1,readline:4", ["on", "e\n", "two\n", "\n", "four"]),
    ("readline:0,readline:-1,readline:None", ["", "one\n", "two\n"]),
    ("readlines,readlines", [["one\n", "two\n", "\n", "four"], []]),
    ("readlines:-1", [["one\n", "two\n", "\n", "four"]]),
    ("readlines:None", [["one\n", "two\n", "\n", "four"]]),
    ("readlines:4,read:-1", [["one\n"], "two\n\nfour"]),
    ("readlines:5,read:-1", [["one\n", "two\n"], "\nfour"]),
    ("iter,iter,read:1", [["one\n", "two\n", "\n", "four"], [], ""]),
    ("read:1,readline,readlines:1,iter", ["o", "ne\n", ["two\n"], ["\n", "four"]]),
]


@pytest.mark.parametrize(("calls", "results"), CALLS, ids=[calls for calls, _ in CALLS])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@uses("input_calls")
def test_calls_return_what_a_file_s_would(site: Site, calls: str, results: list[object], framing: str) -> None:
    target = site.target(calls=calls)
    data = post(target, LINES) if framing == "length" else post_chunked(target, LINES[:2], LINES[2:7], LINES[7:])
    assert body_json(site.fetch(data))["results"] == results


@uses("input_read_without_size")
def test_read_needs_no_size(site: Site) -> None:
    assert body_json(site.post(LINES, calls="read:1,read,read"))["results"] == ["o", "ne\ntwo\n\nfour", ""]


@uses("input_seek")
def test_a_body_in_memory_can_be_read_again(site: Site) -> None:
    assert body_json(site.post(LINES)) == [True, len(LINES)]


@uses("input_readinto")
def test_the_input_fills_buffers(site: Site) -> None:
    assert body_json(site.post(LINES, size=5)) == ["one\nt", "wo\n\nfour"]
    assert body_json(site.post(LINES, size=100)) == [LINES.decode(), ""]


@uses("input_as_text")
def test_the_input_can_be_wrapped_as_text_and_outlives_the_wrapper(site: Site) -> None:
    first, facts, rest = body_json(site.post(b"\xe4\n" + b"x" * 20_000))
    assert (first, facts, rest) == ("\xe4\n", [False, False, False], "x" * 11_810)


@pytest.mark.parametrize("method", ["GET", "POST"])
@uses("input_calls")
def test_a_request_without_a_body_has_an_empty_input(site: Site, method: str) -> None:
    response = site.fetch(request(method, site.target(calls="read:-1,readline,readlines,iter,read:5")))
    assert body_json(response)["results"] == ["", "", [], [], ""]


@uses("input_calls")
def test_content_length_0_is_an_empty_input(site: Site) -> None:
    assert body_json(site.post(b"", calls="read:-1,readline,readlines,iter"))["results"] == ["", "", [], []]


@uses("input_calls")
def test_input_is_said_to_be_terminated(site: Site) -> None:
    assert body_json(site.post(b"x", calls="read:0"))["framing"]["wsgi.input_terminated"] is True


@uses("input_calls")
def test_a_chunked_body_read_ahead_has_a_content_length_and_no_transfer_encoding(site: Site) -> None:
    found = body_json(site.fetch(post_chunked(site.target(calls="read:-1"), b"123", b"45")))
    assert found == {"results": ["12345"], "framing": {"CONTENT_LENGTH": "5", "wsgi.input_terminated": True}}


@uses("input_calls")
def test_an_empty_chunked_body_has_content_length_0(site: Site) -> None:
    found = body_json(site.fetch(post_chunked(site.target(calls="read:-1"))))
    assert found["results"] == [""]
    assert found["framing"].get("CONTENT_LENGTH") == "0"


@uses("input_calls")
def test_chunk_extensions_and_trailers_are_no_part_of_the_body(site: Site) -> None:
    head = request("POST", site.target(calls="read:-1"), ("Transfer-Encoding", "chunked"))
    connection = site.connect()
    for _ in range(2):
        connection.send(head + b'3;name=value\r\nabc\r\n02;a="b;c"\r\nde\r\n0;last\r\nX-Trailer: yes\r\n\r\n')
        assert body_json(connection.response())["results"] == ["abcde"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 10_000_000])
@uses("input_digest")
def test_uploads_of_any_size_arrive_unchanged(site: Site, size: int, framing: str) -> None:
    body = apps.pattern(size)
    target = site.target()
    parts = [body[at : at + 70_000] for at in range(0, size, 70_000)]
    connection = site.connect()
    connection.send_in_background(post(target, body) if framing == "length" else post_chunked(target, *parts))
    found = body_json(connection.response())
    assert (found["total"], found["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    connection.send(get(site.target("hello")))
    assert connection.response().body == b"hello"


@uses("input_digest")
def test_a_streamed_chunked_body_has_no_content_length(site: Site) -> None:
    connection = site.connect()
    connection.send(request("POST", site.target(), ("Transfer-Encoding", "chunked")))
    connection.send(chunked(b"x" * BEYOND_BUFFER, last=False))
    assert "started" in site.recorded("started")
    connection.send(chunked())
    found = body_json(connection.response())
    assert found["total"] == BEYOND_BUFFER
    assert "CONTENT_LENGTH" not in found["framing"]
    assert found["framing"]["wsgi.input_terminated"] is True


@uses("input_digest")
def test_read_returns_less_than_asked_for_only_at_the_end(site: Site) -> None:
    connection = site.connect()
    connection.send(request("POST", site.target(step=100_000), ("Content-Length", str(BEYOND_BUFFER + 7))))
    connection.send(b"x" * 70_001)
    assert "started" in site.recorded("started")
    for size in (1, 29_999, BEYOND_BUFFER + 7 - 100_001):
        connection.send(b"x" * size)
    assert body_json(connection.response())["sizes"] == [7, 100_000]


@uses("input_longest_line")
def test_lines_longer_than_the_read_ahead_are_whole(site: Site) -> None:
    body = b"x" * 200_000 + b"\n" + b"y" * 150_000 + b"\nend"
    assert body_json(site.post(body)) == [200_001, 150_001, 3]


@uses("input_echo")
def test_a_streamed_upload_can_be_answered_while_it_arrives(site: Site) -> None:
    body = apps.pattern(BEYOND_BUFFER)
    connection = site.connect()
    connection.send(request("POST", site.target(step=10_000), ("Content-Length", str(len(body)))))
    connection.send(body[:100_000])
    response = connection.head()
    received = b""
    while len(received) < 100_000:
        received += connection.read_chunk()
    connection.send(body[100_000:])
    connection.read_body(response)
    assert received + response.body == body


@uses("input_gated")
def test_an_upload_that_nobody_reads_is_held_back(site: Site) -> None:
    connection = site.connect(timeout=2.0)
    connection.send(request("POST", site.target(), ("Content-Length", "200000000")))
    with pytest.raises(TimeoutError):
        connection.send(bytes(200_000_000))
    assert "started" in site.recorded("started")
    site.assert_alive()


@pytest.mark.parametrize("call", ["read:-1", "read:1", "readline", "readlines", "iter"])
@uses("keep_input")
def test_input_raises_value_error_after_the_end_of_the_request(site: Site, call: str) -> None:
    assert site.post(b"some body").status == 200
    assert site.json("read_kept_input", call=call) == "ValueError"


@pytest.mark.parametrize("what", ["wsgi.input", "environ"])
@uses("keep_input")
def test_input_of_a_request_without_a_body_raises_value_error_after_the_end_too(site: Site, what: str) -> None:
    connection = site.connect()
    # The third request with the same header lines is the first that a remembered environ serves.
    for number in range(4):
        connection.send(get(site.target(what=what, key=f"{site.key}-{number}")))
        assert connection.response().status == 200
        assert site.json("read_kept_input", call="read:-1", key=f"{site.key}-{number}") == "ValueError"
    connection.send(get(site.target("input_calls", calls="read:-1")))
    assert body_json(connection.response())["results"] == [""], "the next request's own input reads as empty"


@pytest.mark.parametrize("how", ["read", "readline", "readlines", "iter"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@uses("input_until_error")
def test_a_client_that_leaves_mid_upload_is_an_os_error_in_the_application(site: Site, how: str, framing: str) -> None:
    connection = site.connect()
    _begin_upload(site, framing, connection.send, how)
    assert "started" in site.recorded("started")
    connection.close()
    assert site.recorded("OSError") == ["started", "OSError"]
    site.assert_alive()
    # That clients leave is not the application's fault, even if it lets the error through.
    assert not [line for line in site.whole_log().splitlines() if "raised an exception" in line and site.key in line]


@uses("input_until_error")
def test_a_client_that_sends_no_more_of_a_body_it_promised_is_an_os_error(site: Site) -> None:
    connection = site.connect()
    _begin_upload(site, "length", connection.send, "read")
    assert "started" in site.recorded("started")
    connection.finish_sending()
    assert site.recorded("OSError") == ["started", "OSError"]


@uses("input_until_error")
def test_a_malformed_chunk_mid_upload_is_an_os_error_in_the_application(site: Site) -> None:
    connection = site.connect()
    _begin_upload(site, "chunked", connection.send, "read")
    assert "started" in site.recorded("started")
    connection.send(b"-5\r\nwrong\r\n")
    assert site.recorded("OSError") == ["started", "OSError"]
    connection.wait_closed()


@pytest.mark.parametrize("framing", ["length", "chunked"])
@uses("mark")
def test_an_application_is_not_run_for_a_small_body_that_never_becomes_whole(site: Site, framing: str) -> None:
    connection = site.connect()
    header = ("Content-Length", "1000") if framing == "length" else ("Transfer-Encoding", "chunked")
    connection.send(request("POST", site.target(), header) + (b"x" * 10 if framing == "length" else b"a\r\n"))
    connection.close()
    site.whole_log()
    assert site.recorded() == []


@pytest.mark.parametrize("size", [1, 60_000, 1_000_000])
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@uses("input_first_bytes")
def test_an_unread_body_does_not_become_the_next_request(site: Site, size: int, count: int, framing: str) -> None:
    body = (get("/raising?error=RuntimeError") * (size // 20))[:size] or b"x"
    target = site.target(count=count)
    connection = site.connect()
    connection.send_in_background(
        (post(target, body) if framing == "length" else post_chunked(target, body)) + get(site.target("hello"))
    )
    assert body_json(connection.response()) == count
    try:
        response = connection.response()
    except (EOFError, ConnectionError):
        return
    assert (response.status, response.body, response.end) == (200, b"hello", End.COMPLETE)


@pytest.fixture(scope="module")
def spooling_site(serve_module: Serve) -> Iterator[Site]:
    """A server that collects bodies before it starts the application."""
    yield serve_module("--request-buffering=full", "--request-buffer=16K")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [100, 16_384, 16_385, 10_000_000])
def test_full_buffering_gives_every_body_a_content_length(spooling_site: Site, size: int, framing: str) -> None:
    body = apps.pattern(size)
    target = spooling_site.target("input_digest")
    connection = spooling_site.connect()
    connection.send_in_background(post(target, body) if framing == "length" else post_chunked(target, body))
    found = body_json(connection.response())
    assert (found["total"], found["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert found["framing"] == {"CONTENT_LENGTH": str(size), "wsgi.input_terminated": True}


def test_full_buffering_runs_no_application_for_a_body_that_never_becomes_whole(spooling_site: Site) -> None:
    site = Site(spooling_site.server)
    connection = site.connect()
    connection.send(post(site.target("mark"), bytes(100_000))[:-1])
    connection.close()
    site.whole_log()
    assert site.recorded() == []


@pytest.mark.parametrize("calls", ["readline,read:3,readlines:1", "read:-1"])
def test_full_buffering_gives_a_whole_file_api(spooling_site: Site, calls: str) -> None:
    body = b"first\n" + b"x" * 20_000 + b"\nlast"
    results = body_json(spooling_site.post(body, "input_calls", calls=calls))["results"]
    expected: list[object] = [body.decode()]
    if calls != "read:-1":
        expected = ["first\n", "xxx", ["x" * 19_997 + "\n"]]
    assert results == expected


def _begin_upload(site: Site, framing: str, send: object, how: str) -> None:
    """Sends the head and a part of the body that is larger than the read-ahead."""
    assert callable(send)
    header = ("Content-Length", "5000000") if framing == "length" else ("Transfer-Encoding", "chunked")
    part = b"x" * 99_999 + b"\n"
    send(request("POST", site.target(how=how), header) + (part if framing == "length" else chunked(part, last=False)))
