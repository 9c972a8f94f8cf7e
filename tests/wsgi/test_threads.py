"""Applications run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_client import get
from serving import ServerProcess
from wsgi_site import Site

uses = pytest.mark.uses


@uses("threads_at_once")
def test_requests_that_wait_for_each_other_run_at_the_same_time(site: Site) -> None:
    connections = [site.connect() for _ in range(16)]
    for connection in connections:
        connection.send(get(site.target(parties=16)))
    bodies = {connection.response().body for connection in connections}
    assert len(bodies) == 16, "each ran in a thread of its own"


@pytest.mark.parametrize("app", ["written_by_threads", "written_and_iterated"])
@uses("written_by_threads")
def test_threads_may_send_one_response_together(site: Site, app: str) -> None:
    body = site.get(app).body
    assert (len(body), body.count(b"a"), body.count(b"b")) == (8_000_000, 4_000_000, 4_000_000)


@pytest.mark.parametrize(("child", "status"), [("return", 0), ("0", 0), ("7", 7), ("raise", 1)])
@uses("forking")
def test_a_forked_child_ends_with_its_request(site: Site, child: str, status: int) -> None:
    assert site.json(child=child) == status
    for _ in range(20):
        site.assert_alive()


def test_the_main_thread_is_not_one_of_the_pool(tmp_path: Path) -> None:
    # Python takes the thread that first imports threading for the main one.
    (tmp_path / "plain.py").write_text(
        "def app(environ, start_response):\n"
        "    import threading\n"
        "    start_response('200 OK', [])\n"
        "    return [repr(threading.current_thread() is threading.main_thread()).encode()]\n"
    )
    with ServerProcess.start("plain:app", cwd=tmp_path) as server:
        assert Site(server).get("x").body == b"False"


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
