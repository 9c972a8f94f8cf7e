"""Headers that the server adds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
from conftest import Serve
from raw_client import get
from wsgi_site import Site


@pytest.mark.parametrize("target", ["/hello", "/generator", "/raising?error=RuntimeError&key=x", "/environ_dump/%00"])
def test_every_response_has_date_and_server(http_site: Site, target: str) -> None:
    response = http_site.fetch(get(target))
    date = response.header("Date")
    assert date is not None
    assert date.endswith(" GMT")
    assert abs(parsedate_to_datetime(date) - datetime.now(timezone.utc)) < timedelta(seconds=10)
    assert date == parsedate_to_datetime(date).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert "ironbridge" in (response.header("Server") or "").lower()


def test_date_and_server_can_be_left_out(serve: Serve) -> None:
    site = serve("--no-server-header", "--no-date-header")
    for target in ("/hello", "/raising?error=RuntimeError&key=x", "/environ_dump/%00"):
        response = site.fetch(get(target))
        assert (response.header("Date"), response.header("Server")) == (None, None)
    own = site.fetch(get("/own_date_and_server"))
    assert own.header("Server") == "Teapot/1.0"
