"""Applications run side by side."""

from __future__ import annotations

import pytest
from raw_client import get
from wsgi_site import Site

uses = pytest.mark.uses


@uses("threads_at_once")
def test_requests_that_wait_for_each_other_run_at_the_same_time(site: Site) -> None:
    connections = [site.connect() for _ in range(16)]
    for connection in connections:
        connection.send(get(site.target(parties=16)))
    bodies = {connection.response().body for connection in connections}
    assert len(bodies) == 16, "each ran in a thread of its own"


@uses("recursing_through_c")
def test_recursion_without_end_is_an_exception_and_not_the_end_of_the_server(site: Site) -> None:
    assert site.get().body == b"RecursionError"
    site.assert_alive()


@uses("blocked")
def test_blocked_requests_do_not_hold_up_others(site: Site) -> None:
    connections = [site.connect() for _ in range(20)]
    for connection in connections:
        connection.send(get(site.target()))
    assert site.recorded(*["started"] * 20).count("started") == 20
    for _ in range(50):
        site.assert_alive()
    site.open_gate()
    assert {connection.response().body for connection in connections} == {b"released"}
