"""close() of the iterable: exactly once, on every path (PEP 3333 "Specification Details")."""

from __future__ import annotations

import pytest
from raw_client import End, get, request
from wsgi_site import Site

uses = pytest.mark.uses


@uses("closing")
def test_close_is_called_once_after_a_whole_response(site: Site) -> None:
    assert site.get().body == b"onetwo"
    assert _closes(site) == 1


@pytest.mark.parametrize("items", ["", "one", "one,two,three"])
@uses("closing")
def test_close_is_called_once_for_any_number_of_items(site: Site, items: str) -> None:
    assert site.get(items=items).complete
    assert _closes(site) == 1


@uses("closing_without_items")
def test_close_is_called_once_where_there_are_no_items(site: Site) -> None:
    assert site.get().header("Content-Length") == "0"
    assert _closes(site) == 1


@uses("closing")
def test_close_is_called_once_for_head(site: Site) -> None:
    assert site.head().body == b""
    assert _closes(site) == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@uses("closing")
def test_close_is_called_once_for_responses_without_a_body(site: Site, status: str) -> None:
    assert site.get(status=status).body == b""
    assert _closes(site) == 1


@pytest.mark.parametrize("length", [2, 6, 60])
@uses("closing")
def test_close_is_called_once_whatever_the_content_length(site: Site, length: int) -> None:
    assert site.get(length=length).status == 200
    assert _closes(site) == 1


@pytest.mark.parametrize("at", [0, 1, 3])
@uses("closing_after_error")
def test_close_is_called_once_after_an_error_in_iteration(site: Site, at: int) -> None:
    response = site.get(at=at)
    assert (response.status == 500) == (at == 0)
    assert _closes(site) == 1


@uses("closing_after_odd_item")
def test_close_is_called_once_after_an_item_that_is_not_bytes(site: Site) -> None:
    assert not site.get().complete
    assert _closes(site) == 1


@uses("closing_never_started")
def test_close_is_called_once_where_start_response_was_not(site: Site) -> None:
    assert site.get().status == 500
    assert _closes(site) == 1


@uses("closing")
def test_close_is_called_once_for_http_1_0(site: Site) -> None:
    assert site.fetch(request("GET", site.target(), version="HTTP/1.0")).body == b"onetwo"
    assert _closes(site) == 1


@pytest.mark.parametrize("farewell", ["close", "reset"])
@pytest.mark.parametrize("app", ["closing_when_left", "generator_when_left"])
@uses("closing_when_left")
def test_close_is_called_once_when_the_client_leaves_mid_response(site: Site, app: str, farewell: str) -> None:
    connection = site.connect()
    connection.send(get(site.target(app)))
    assert connection.head().status == 200
    assert connection.read_chunk() == b"first"
    site.recorded("started")
    connection.reset() if farewell == "reset" else connection.close()
    site.open_gate()
    assert _closes(site) == 1
    if app == "generator_when_left":
        assert "GeneratorExit" in site.recorded("GeneratorExit")


@uses("blocked_gigabyte")
def test_a_client_that_leaves_before_the_response_begins_costs_no_thread(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target(step=65536)))
    assert "started" in site.recorded("started")
    connection.close()
    site.assert_alive()
    site.open_gate()
    assert "closed" in site.recorded("closed")


@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit", "KeyboardInterrupt"])
@uses("closing_badly")
def test_a_close_that_raises_is_only_logged(site: Site, error: str) -> None:
    connection = site.connect()
    connection.send(get(site.target(error=error)))
    response = connection.response()
    assert (response.status, response.body, response.end) == (200, b"one two", End.COMPLETE)
    connection.send(get(site.target("hello")))
    assert connection.response().body == b"hello"
    assert _closes(site) == 1
    assert site.whole_log().count(f"{error}: close failed {site.key}") == 1


@uses("closing_badly_after_error")
def test_an_error_and_a_close_that_raises_are_both_logged(site: Site) -> None:
    assert site.get().status == 500
    assert _closes(site) == 1
    log = site.whole_log()
    assert log.count(f"RuntimeError: boom {site.key}") == 1
    assert log.count(f"ValueError: close failed {site.key}") == 1


def _closes(site: Site) -> int:
    """How often close() was called, with time for a call too many."""
    site.recorded("close")
    site.whole_log()
    return site.recorded().count("close")
