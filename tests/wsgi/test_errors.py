"""Errors of applications: each costs one request."""

from __future__ import annotations

import pytest
from raw_client import End, get, request
from wsgi_site import Site

uses = pytest.mark.uses
FATAL = ["SystemExit", "SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "BaseException", "StopIteration"]


@pytest.mark.parametrize("started", ["", "yes"])
@uses("raising")
def test_an_error_before_the_first_byte_becomes_a_small_500_without_details(site: Site, started: str) -> None:
    response = site.get(error="RuntimeError", started=started)
    assert (response.status, response.reason, response.complete) == (500, "Internal Server Error", True)
    assert 0 < len(response.body) < 1000
    assert response.header("Content-Length") == str(len(response.body))
    assert response.header("Content-Type") is not None
    assert response.header("Date") is not None
    assert response.header("X-App") is None
    for detail in (site.key.encode(), b"boom", b"RuntimeError", b"Traceback", b"apps.py"):
        assert detail not in response.body, detail


@uses("raising")
def test_the_traceback_of_an_error_is_logged_once(site: Site) -> None:
    site.get(error="RuntimeError")
    log = site.whole_log()
    assert log.count(f"RuntimeError: boom {site.key}") == 1
    before = log[: log.index(f"RuntimeError: boom {site.key}")]
    assert before.rindex("Traceback (most recent call last)") < before.rindex("apps.py")
    assert "in raising" in before[before.rindex("Traceback") :]


@uses("raising")
def test_the_cause_of_an_error_is_logged_with_it(site: Site) -> None:
    site.get(error="grouped")
    log = site.whole_log()
    assert "direct cause" in log[: log.index(f"RuntimeError: boom {site.key}")]


@uses("raising_in_iteration")
def test_an_error_in_the_first_iteration_becomes_a_500(site: Site) -> None:
    response = site.get(error="RuntimeError", at=0)
    assert (response.status, response.header("X-App"), response.complete) == (500, None, True)
    assert site.whole_log().count(f"RuntimeError: boom {site.key}") == 1


@uses("raising_after_empty_items")
def test_an_error_after_empty_items_only_becomes_a_500(site: Site) -> None:
    response = site.get()
    assert (response.status, response.header("X-App"), response.complete) == (500, None, True)


@uses("raising_in_iteration")
def test_an_error_mid_stream_aborts_without_the_final_chunk(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target(error="RuntimeError", at=2)))
    raw = connection.wait_closed()
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n0\r\n" not in raw
    assert b"500" not in raw.partition(b"\r\n\r\n")[2]
    assert site.whole_log().count(f"RuntimeError: boom {site.key}") == 1


@uses("raising_in_iteration")
def test_an_error_mid_stream_below_content_length_aborts(site: Site) -> None:
    assert site.get(error="RuntimeError", at=2, length=100).end in (End.TRUNCATED, End.RESET)


@uses("raising_after_write")
def test_an_error_after_write_aborts_the_response(site: Site) -> None:
    response = site.get()
    assert (response.status, response.end in (End.TRUNCATED, End.RESET)) == (200, True)


@pytest.mark.parametrize("error", FATAL)
@uses("raising")
def test_what_ends_other_programs_costs_one_request(site: Site, error: str) -> None:
    assert site.get(error=error).status == 500
    site.assert_alive()


@pytest.mark.parametrize("error", FATAL)
@pytest.mark.parametrize("at", [0, 2])
@uses("raising_in_iteration")
def test_what_ends_other_programs_costs_one_request_in_iteration_too(site: Site, error: str, at: int) -> None:
    response = site.get(error=error, at=at)
    # In a generator StopIteration becomes a RuntimeError (PEP 479), so it is an error here as well.
    assert (response.status, response.complete) == ((500, True) if at == 0 else (200, False))
    site.assert_alive()


@uses("raising")
def test_many_fatal_errors_do_not_use_up_the_threads(site: Site) -> None:
    connection = site.connect()
    for _ in range(200):
        connection.send(get(site.target(error="SystemExit")))
        assert connection.response().status == 500
        if not connection.is_open():
            connection = site.connect()
    site.assert_alive()


@uses("raising")
def test_an_exception_that_cannot_be_printed_costs_one_request(site: Site) -> None:
    assert site.get(error="unprintable").status == 500
    site.assert_alive()


@uses("recursing")
def test_endless_recursion_costs_one_request(site: Site) -> None:
    assert site.get().status == 500
    site.assert_alive()


@uses("raising")
def test_the_500_to_head_has_no_body(site: Site) -> None:
    connection = site.connect()
    connection.send(request("HEAD", site.target(error="RuntimeError")))
    assert connection.response("HEAD").status == 500
    if connection.is_open():
        connection.send(get(site.target("hello")))
        assert connection.response().body == b"hello"
