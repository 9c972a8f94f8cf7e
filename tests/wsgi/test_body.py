"""How response bodies are framed, checked against their Content-Length, streamed and held back."""

from __future__ import annotations

import hashlib
import re
import time

import apps
import pytest
from raw_client import Connection, End, get, request
from wsgi_site import Site, wait_until

uses = pytest.mark.uses


@pytest.mark.parametrize("app", ["empty_list", "empty_generator", "empty_items"])
@uses("empty_list")
def test_an_empty_iterable_becomes_content_length_0(site: Site, app: str) -> None:
    response = site.get(app)
    assert (response.status, response.body, response.end) == (200, b"", End.COMPLETE)
    assert response.header("Content-Length") == "0"


@pytest.mark.parametrize("app", ["one_item_list", "one_item_tuple"])
@uses("one_item_list", plain_only="the validator hides len()")
def test_content_length_is_added_for_one_item(site: Site, app: str) -> None:
    response = site.get(app)
    assert (response.body, response.header("Content-Length")) == (b"one item", "8")


@uses("several_items")
def test_a_list_of_items_arrives_whole(site: Site) -> None:
    assert (site.get().body, site.get().complete) == (b"one two three", True)


@uses("generator")
def test_a_generator_without_length_is_sent_chunked(site: Site) -> None:
    response = site.get()
    assert response.header("Transfer-Encoding") == "chunked"
    assert (response.body, response.complete) == (b"one two", True)


@uses("generator")
def test_a_generator_without_length_is_ended_by_the_close_for_http_1_0(site: Site) -> None:
    response = site.fetch(request("GET", site.target(), version="HTTP/1.0"))
    assert response.header("Transfer-Encoding") is None
    assert (response.body, response.end) == (b"one two", End.CLOSED)


@uses("ClassWithIter")
def test_an_application_may_be_a_class_with_an_iter_method(site: Site) -> None:
    assert site.get().body == b"from a class"


@pytest.mark.parametrize("step", ["10", "3", "1"])
@uses("with_length")
def test_a_body_of_its_content_length_leaves_the_connection_usable(site: Site, step: str) -> None:
    connection = site.connect()
    for _ in range(2):
        connection.send(get(site.target(length=10, step=step)))
        response = connection.response()
        assert (response.body, response.end) == (b"1234567890", End.COMPLETE)
        assert response.header("Content-Length") == "10"


@pytest.mark.parametrize("app", ["with_length", "list_with_length"])
@pytest.mark.parametrize("step", ["10", "3", "1"])
@pytest.mark.parametrize("length", ["7", "0"])
@uses("with_length")
def test_a_body_beyond_its_content_length_is_cut_and_warned_about(site: Site, app: str, step: str, length: str) -> None:
    before = _length_warnings(site)
    connection = site.connect()
    connection.send(get(site.target(app, length=length, step=step)))
    response = connection.response()
    assert (response.status, response.body, response.end) == (200, b"1234567890"[: int(length)], End.COMPLETE)
    _assert_next_response_is_clean_or_closed(site, connection)
    if int(length) % int("10" if app == "list_with_length" else step):
        # One item crosses the limit. Where items end right there, the server must not ask for more (PEP 3333
        # "Handling the Content-Length Header") and thus cannot know.
        assert _length_warnings(site) > before


@pytest.mark.parametrize("app", ["with_length", "list_with_length"])
@pytest.mark.parametrize("step", ["10", "3"])
@uses("with_length")
def test_a_body_below_its_content_length_is_warned_about_and_closes(site: Site, app: str, step: str) -> None:
    before = _length_warnings(site)
    connection = site.connect()
    connection.send(get(site.target(app, length=25, step=step)))
    response = connection.response()
    assert (response.status, response.header("Content-Length")) == (200, "25")
    assert (response.body, response.end) == (b"1234567890", End.TRUNCATED)
    wait_until(lambda: _length_warnings(site) > before, "a warning about the length")


@pytest.mark.parametrize(
    "query", [{"size": 10_000_000}, {"size": 5_000_000, "step": 1000}, {"size": 3_000_000, "step": 700_001}]
)
@uses("large")
def test_large_bodies_arrive_unchanged(site: Site, query: dict[str, int]) -> None:
    response = site.get(**query)
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(apps.pattern(query["size"])).digest()
    assert response.complete


@pytest.mark.parametrize("kind", ["None", "bytes", "str", "int", "object"])
@uses("odd_result")
def test_a_result_that_is_no_iterable_of_bytes_is_an_error_that_names_the_mistake(site: Site, kind: str) -> None:
    before = len(site.whole_log())
    response = site.get(type=kind)
    assert response.status == 500
    assert response.body not in (b"bytes", b"text")
    assert {"None": "None"}.get(kind, kind) in site.whole_log()[before:]


@pytest.mark.parametrize("kind", ["str", "int", "None"])
@uses("odd_item")
def test_a_first_item_that_is_not_bytes_is_found_before_the_head_is_sent(site: Site, kind: str) -> None:
    before = len(site.whole_log())
    response = site.get(type=kind, at=0)
    assert (response.status, response.header("X-App"), response.complete) == (500, None, True)
    assert "bytes" in site.whole_log()[before:]


@uses("odd_single_item")
def test_a_single_item_that_is_not_bytes_is_found_before_the_head_is_sent(site: Site) -> None:
    assert (site.get().status, site.get().header("X-App")) == (500, None)


@pytest.mark.parametrize("kind", ["str", "int", "None"])
@uses("odd_item")
def test_a_later_item_that_is_not_bytes_aborts_the_response(site: Site, kind: str) -> None:
    response = site.get(type=kind, at=2)
    assert (response.status, response.end in (End.TRUNCATED, End.RESET)) == (200, True)
    site.assert_alive()


@uses("stream_and_wait")
def test_the_first_chunk_is_on_the_wire_before_the_second_is_produced(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target()))
    response = connection.head()
    assert connection.read_chunk() == b"first"
    site.open_gate()
    connection.read_body(response)
    assert (response.body, response.complete) == (b"second", True)


@pytest.mark.parametrize("step", [65536, 1000, 3_000_000])
@pytest.mark.parametrize("app", ["gigabyte", "gigabyte_written"])
@uses("gigabyte")
def test_a_reader_that_stops_holds_the_application_back_and_nobody_else(site: Site, app: str, step: int) -> None:
    reader = site.connect(receive_buffer=65536)
    reader.send(get(site.target(app, step=step)))
    assert reader.head().status == 200
    read = len(reader.read_some())

    _wait_for_standstill(site)
    held = site.json("produced") - read - _bytes_in_kernel(reader)
    # What the server holds may be one chunk of the application's own size more.
    assert held < 1_000_000 + step
    site.assert_alive()

    reader.close()
    assert "closed" in site.recorded("closed")
    if app == "gigabyte_written":
        assert "OSError" in site.recorded("OSError")


@uses("gigabyte")
def test_a_reader_that_goes_on_gets_the_rest(site: Site) -> None:
    reader = site.connect(receive_buffer=65536)
    reader.send(get(site.target(step=50_000)))
    reader.head()
    first = len(reader.read_some())
    _wait_for_standstill(site)
    produced = site.json("produced")
    read = first
    while read < produced + 2_000_000:
        more = len(reader.read_some())
        assert more, "the response ended early"
        read += more
    assert site.json("produced") > produced


def _length_warnings(site: Site) -> int:
    return len(re.findall(r".*WARN.*(?:content-length|length|bytes).*", site.whole_log(), re.IGNORECASE))


def _assert_next_response_is_clean_or_closed(site: Site, connection: Connection) -> None:
    try:
        connection.send(get(site.target("hello")))
        assert connection.response().body == b"hello"
    except (EOFError, ConnectionError):
        assert connection.read_some() == b""


def _wait_for_standstill(site: Site) -> None:
    """Waits until the application has produced nothing for half a second."""
    seen, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal seen, since
        now = site.json("produced")
        if now != seen:
            seen, since = now, time.monotonic()
        return now > 0 and time.monotonic() - since > 0.5

    wait_until(still, "the application is held back", 30.0)


def _bytes_in_kernel(connection: Connection) -> int:
    """What waits in the kernel between server and us: its send queue and our receive queue (proc(5), net/tcp)."""
    ours, theirs = f"{connection.port:04X}", f"{connection.socket.getpeername()[1]:04X}"
    total = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            columns = line.split()
            ends = (columns[1].rpartition(":")[2], columns[2].rpartition(":")[2])
            sending, receiving = (int(part, 16) for part in columns[4].split(":"))
            if ends == (theirs, ours):
                total += sending
            elif ends == (ours, theirs):
                total += receiving
    return total
