"""start_response and write() (PEP 3333 "The start_response() Callable", "The write() Callable")."""

from __future__ import annotations

import pytest
from raw_client import End, get
from wsgi_site import Site, assert_aborted

uses = pytest.mark.uses


@uses("start_in_iteration")
def test_start_response_may_be_called_in_the_first_iteration_of_a_generator(site: Site) -> None:
    response = site.get()
    assert (response.status, response.body) == (202, b"one two")
    assert response.header("X-Late") == "yes"


@uses("write_only")
def test_what_write_is_given_is_the_body(site: Site) -> None:
    response = site.get()
    assert (response.status, response.body, response.complete) == (200, b"one two", True)


@uses("write_then_iterable")
def test_written_bytes_come_before_those_of_the_iterable(site: Site) -> None:
    assert site.get().body == b"written returned items"


@uses("write_within_generator")
def test_write_and_yield_may_alternate(site: Site) -> None:
    assert site.get().body == b"one two three"


@uses("write_and_wait")
def test_written_bytes_are_on_the_wire_before_write_is_called_again(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target()))
    response = connection.head()
    assert response.status == 200
    assert connection.read_chunk() == b"first"
    site.open_gate()
    connection.read_body(response)
    assert (response.body, response.complete) == (b"second", True)


@uses("write_text")
def test_write_refuses_text(site: Site) -> None:
    assert site.get().status == 500
    site.assert_alive()


@uses("keep_write")
def test_write_raises_after_the_end_of_the_request(site: Site) -> None:
    assert site.get().body == b"kept"
    assert site.json("call_kept_write") is not None
    site.assert_alive()


@uses("write_with_length")
def test_write_beyond_content_length_is_cut_and_warned_about(site: Site) -> None:
    response = site.get(length=7)
    assert (response.status, response.body, response.complete) == (200, b"1234567", True)
    assert "WARN" in site.whole_log()


@uses("write_with_length")
def test_write_below_content_length_closes_the_connection(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target(length=20)))
    assert_aborted(connection, b"1234567890")


@uses("exc_info_before_head")
def test_exc_info_before_the_head_replaces_status_and_all_headers(site: Site) -> None:
    response = site.get()
    assert (response.status, response.reason, response.body) == (503, "Changed My Mind", b"replaced")
    assert response.header("X-New") == "yes"
    assert response.header("X-Old") is None
    assert response.header("Content-Type") == "text/html"
    assert response.complete


@uses("exc_info_after_empty_chunks")
def test_the_head_is_withheld_while_only_empty_chunks_come(site: Site) -> None:
    response = site.get()
    assert (response.status, response.body) == (503, b"replaced")
    assert response.header("X-Old") is None


@uses("exc_info_after_head")
def test_exc_info_after_the_head_is_raised_again_and_aborts_the_response(site: Site) -> None:
    response = site.get()
    assert response.status == 200
    assert response.body in (b"begun", b"")
    assert response.end in (End.TRUNCATED, End.RESET)
    assert site.recorded("same exception") == ["same exception"]
    assert site.whole_log().count(f"ValueError: after the head {site.key}") == 1


@uses("exc_info_at_first_call")
def test_exc_info_at_the_first_call_is_an_ordinary_start(site: Site) -> None:
    response = site.get()
    assert (response.status, response.reason, response.body) == (500, "Own Error Page", b"own page")


@uses("started_twice")
def test_a_second_start_response_without_exc_info_is_an_error(site: Site) -> None:
    response = site.get()
    assert response.status == 500
    assert b"never seen" not in response.body


@uses("started_twice_and_caught")
def test_a_second_start_response_raises_in_the_application_and_changes_nothing(site: Site) -> None:
    response = site.get()
    assert (response.status, response.body) == (200, b"raised")


@pytest.mark.parametrize("items", ["never_started", "never_started_and_empty"])
@uses("never_started")
def test_an_application_that_never_calls_start_response_is_an_error(site: Site, items: str) -> None:
    response = site.get(items)
    assert response.status == 500
    assert b"no head" not in response.body
    assert "start_response" in site.whole_log()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("200 Totally Fine", "Totally Fine"),
        ("299 Not In Any List", "Not In Any List"),
        ("404 Nothing  here", "Nothing  here"),
        ("599 Caf\xe9", "Caf\xe9"),
        ("200 OK", "OK"),
    ],
)
@uses("any_status")
def test_the_reason_phrase_is_the_application_s_own(site: Site, status: str, reason: str) -> None:
    response = site.get(status=status)
    assert (response.status, response.reason, response.body) == (int(status[:3]), reason, b"body")


@pytest.mark.parametrize(
    "status",
    [
        "abc",
        "",
        "20 OK",
        "2000 OK",
        "20x OK",
        "200OK",
        "200 OK\r\nInjected: yes",
        "200 OK\n",
        "200 \0",
        " 200 OK",
        "099 Low",
    ],
)
@uses("any_status")
def test_a_malformed_status_is_an_error(site: Site, status: str) -> None:
    response = site.get(status=status)
    assert (response.status, response.header("Injected")) == (500, None)
    assert b"Injected" not in response.body


@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "103 Early Hints"])
@uses("any_status")
def test_an_informational_status_is_an_error(site: Site, status: str) -> None:
    response = site.get(status=status)
    assert (response.status, response.interim) == (500, [])


@pytest.mark.parametrize("kind", ["int", "bytes", "None"])
@uses("status_of_wrong_type")
def test_a_status_that_is_no_string_is_an_error(site: Site, kind: str) -> None:
    assert site.get(type=kind).status == 500
