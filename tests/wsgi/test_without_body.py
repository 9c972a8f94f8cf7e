"""HEAD, 204 and 304: the application runs as always, no byte of a body is sent (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5)."""

from __future__ import annotations

import pytest
from raw_client import Response, get, request
from wsgi_site import Site

uses = pytest.mark.uses


@uses("method_seen", plain_only="the validator hides len()")
def test_head_gets_the_headers_of_get_and_no_body(site: Site) -> None:
    response = _response_before_another(site, "HEAD", "method_seen")
    assert (response.status, response.header("X-Method")) == (200, "HEAD")
    assert response.header("Content-Length") == "4"


@uses("with_length")
def test_head_keeps_the_application_s_content_length(site: Site) -> None:
    response = _response_before_another(site, "HEAD", "with_length", length=10)
    assert response.header("Content-Length") == "10"


@uses("with_length")
def test_head_may_promise_a_content_length_that_the_application_does_not_produce(site: Site) -> None:
    response = _response_before_another(site, "HEAD", "with_length", length=1000)
    assert response.header("Content-Length") == "1000"


@pytest.mark.parametrize("app", ["empty_list", "empty_generator", "empty_items"])
@uses("empty_list")
def test_head_without_a_body_from_the_application_does_not_claim_that_get_has_none(site: Site, app: str) -> None:
    # RFC 9110 8.6: Content-Length must be that of GET or be left out; an empty result for HEAD does not tell.
    response = _response_before_another(site, "HEAD", app)
    assert response.header("Content-Length") is None


@pytest.mark.parametrize("app", ["generator", "write_only", "several_items", "empty_generator"])
@uses("generator")
def test_head_sends_no_body_however_the_application_makes_it(site: Site, app: str) -> None:
    assert _response_before_another(site, "HEAD", app).status == 200


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No"), ("GET", "304 Same")])
@uses("write_and_record")
def test_writing_goes_on_where_nobody_wants_a_body(site: Site, method: str, status: str) -> None:
    _response_before_another(site, method, "write_and_record", status=status)
    assert site.recorded("wrote all") == ["wrote all"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@uses("no_body_status")
def test_a_status_without_body_drops_what_the_application_gives(site: Site, status: str) -> None:
    response = _response_before_another(site, "GET", "no_body_status", status=status)
    assert (response.status, response.header("ETag")) == (int(status[:3]), '"x"')
    assert response.header("Transfer-Encoding") is None
    assert response.header("Content-Length") is None


@uses("closing")
def test_304_without_a_body_from_the_application_does_not_claim_that_200_has_none(site: Site) -> None:
    # RFC 9110 8.6, as for HEAD: caches would take the length over.
    response = _response_before_another(site, "GET", "closing", status="304 Not Modified", items="")
    assert response.header("Content-Length") is None
    assert _response_before_another(site, "GET", "empty_not_modified").header("Content-Length") is None


@uses("no_body_status")
def test_204_never_has_a_content_length(site: Site) -> None:
    response = _response_before_another(site, "GET", "no_body_status", status="204 No Content", length=17)
    assert response.header("Content-Length") is None


@uses("no_body_status")
def test_304_may_keep_the_application_s_content_length(site: Site) -> None:
    response = _response_before_another(site, "GET", "no_body_status", status="304 Not Modified", length=17)
    assert response.header("Content-Length") in (None, "17")


def _response_before_another(site: Site, method: str, app: str, /, **query: object) -> Response:
    """A response that must have no body, read on a connection on which a further one must then follow cleanly."""
    connection = site.connect()
    connection.send(request(method, site.target(app, **query)))
    response = connection.response("HEAD")
    connection.send(get(site.target("hello")))
    following = connection.response()
    assert (following.status, following.body) == (200, b"hello")
    return response
