"""wsgi.file_wrapper (PEP 3333 "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import hashlib

import apps
import pytest
from raw_client import get, request
from wsgi_site import Site, assert_aborted

uses = pytest.mark.uses


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 3_000_000])
@uses("file_real")
def test_a_real_file_is_sent_whole_and_closed(site: Site, size: int) -> None:
    response = site.get(size=size)
    assert (response.status, _digest(response.body), response.complete) == (200, _digest(apps.pattern(size)), True)
    assert site.recorded("close") == ["close"]


@uses("file_real", plain_only="the validator hides the wrapper")
def test_the_rest_of_a_real_file_is_its_content_length(site: Site) -> None:
    assert site.get(size=5000).header("Content-Length") == "5000"
    assert site.get(size=5000, offset=1000).header("Content-Length") == "4000"


@pytest.mark.parametrize("offset", [1, 4096, 4999, 5000, 6000])
@uses("file_real")
def test_a_file_is_sent_from_where_its_cursor_stands(site: Site, offset: int) -> None:
    response = site.get(size=5000, offset=offset)
    assert (response.body, response.complete) == (apps.pattern(5000)[offset:], True)


@pytest.mark.parametrize(("offset", "length"), [(0, 100), (0, 0), (1000, 100), (0, 5000), (1000, 4000)])
@uses("file_real")
def test_no_more_of_a_file_is_sent_than_content_length_says(site: Site, offset: int, length: int) -> None:
    connection = site.connect()
    connection.send(get(site.target(size=5000, offset=offset, length=length)))
    response = connection.response()
    assert response.body == apps.pattern(5000)[offset : offset + length]
    assert response.header("Content-Length") == str(length)
    assert site.recorded("close") == ["close"]
    if connection.is_open():
        connection.send(get(site.target("hello")))
        assert connection.response().body == b"hello"


@uses("file_real")
def test_a_file_shorter_than_content_length_closes_the_connection(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target(size=5000, length=6000)))
    assert_aborted(connection, apps.pattern(5000))
    assert site.recorded("close") == ["close"]


@pytest.mark.parametrize("block", [1, 100, 1_000_000])
@uses("file_real")
def test_the_block_size_does_not_change_what_is_sent(site: Site, block: int) -> None:
    assert site.get(size=5000, block=block).body == apps.pattern(5000)


@uses("file_buffered")
def test_bytes_read_ahead_by_a_buffered_file_are_sent(site: Site) -> None:
    assert site.get(size=100_000).body == apps.pattern(100_000)[10:]
    assert site.recorded("close") == ["close"]


@pytest.mark.parametrize(("kind", "body"), [("gzip", b"plain text"), ("class", b"PLAIN TEXT"), ("proc", b"VmRSS:")])
@uses("file_of_its_own")
def test_an_object_with_a_descriptor_is_read_where_it_reads_something_else(site: Site, kind: str, body: bytes) -> None:
    response = site.get(kind=kind)
    assert response.status == 200
    assert response.body == body or (kind == "proc" and body in response.body)


@pytest.mark.parametrize("offset", [0, 777])
@uses("file_in_memory")
def test_a_file_in_memory_is_sent_from_its_cursor(site: Site, offset: int) -> None:
    assert site.get(size=100_000, offset=offset).body == apps.pattern(100_000)[offset:]


@uses("file_with_read_only")
def test_an_object_with_nothing_but_read_is_sent(site: Site) -> None:
    assert site.get(size=100_000).body == apps.pattern(100_000)


@uses("file_pipe")
def test_a_descriptor_that_is_no_regular_file_is_sent(site: Site) -> None:
    response = site.get()
    assert (response.body, response.complete) == (b"through a pipe", True)


@uses("file_wrapped_again")
def test_the_wrapper_can_be_iterated_and_closed_by_middleware(site: Site) -> None:
    assert site.get(size=10_500).body == apps.pattern(10_500)
    assert site.recorded("close") == ["close"]


@uses("file_after_write")
def test_a_file_may_follow_written_bytes(site: Site) -> None:
    assert site.get(size=5000).body == b"written " + apps.pattern(5000)


@uses("file_never_returned")
def test_a_wrapper_that_is_not_returned_is_only_an_iterable(site: Site) -> None:
    assert site.get().body == b"read: unused"


@uses("file_real")
def test_head_sends_nothing_of_a_file_and_closes_it(site: Site) -> None:
    connection = site.connect()
    connection.send(request("HEAD", site.target(size=5000, length=5000)))
    assert connection.response("HEAD").header("Content-Length") == "5000"
    connection.send(get(site.target("hello")))
    assert connection.response().body == b"hello"
    assert site.recorded("close") == ["close"]


@uses("file_real")
def test_a_file_is_closed_when_the_client_leaves(site: Site) -> None:
    connection = site.connect(receive_buffer=65536)
    connection.send(get(site.target(size=30_000_000)))
    assert connection.head().status == 200
    connection.reset()
    assert site.recorded("close") == ["close"]


@uses("file_real")
def test_files_follow_each_other_on_one_connection(site: Site) -> None:
    connection = site.connect()
    for size in (100, 200_000, 0, 5000):
        connection.send(get(site.target(size=size)))
        assert connection.response().body == apps.pattern(size)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
