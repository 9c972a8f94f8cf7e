"""Workers that have served for long enough are replaced, and nobody notices."""

from __future__ import annotations

import re

from load import Load
from raw_client import get
from shop import StartShop
from test_supervisor import ASGI, CODE, KINDS, TARGETS, WSGI, body
from wsgi_site import wait_until

LEAKING = WSGI.replace(
    'start_response("200 OK", [])',
    'start_response("200 OK", [])\n    if environ["PATH_INFO"] == "/leak": leak.append(b"x" * (64 << 20))',
).replace("VERSION =", "leak = []\nVERSION =")


@KINDS
def test_ten_replacements_under_load_lose_nothing(start: StartShop, kind: str) -> None:
    site = start(CODE[kind], "--workers=2", "--max-requests=300", "--max-requests-jitter=200")
    first = set(site.server.workers())
    with Load(site.address, TARGETS[kind]) as load:
        site.server.wait_log(r"(?:is to be replaced: it has had \d+ requests[\s\S]*){10}", 40)
    assert not load.failures
    wait_until(lambda: len(site.server.workers()) == 2, "the old ones have ended")
    assert not first & set(site.server.workers())
    counts = [int(count) for count in re.findall(r"it has had (\d+) requests", site.server.log())]
    assert all(count >= 300 for count in counts)


def test_a_worker_is_replaced_when_its_time_is_over(start: StartShop) -> None:
    site = start(ASGI, "--max-lifetime=0.5")
    worker = site.server.workers()[0]
    site.server.wait_log(f"worker {worker} is to be replaced: it has served for 0 s")
    wait_until(lambda: worker not in site.server.workers(), "it has ended")
    assert body(site) == b"1"


def test_a_worker_is_replaced_when_it_holds_too_much_memory(start: StartShop) -> None:
    site = start(LEAKING, "--max-memory=150M")
    worker = site.server.workers()[0]
    for _ in range(3):
        body(site, "/leak")
    site.server.wait_log(rf"worker {worker} is to be replaced: it holds (?:1[5-9]|2)\d+ MB of memory")
    wait_until(lambda: worker not in site.server.workers(), "it has ended")
    assert body(site) == b"1"


def test_a_worker_that_holds_far_too_much_memory_is_ended(start: StartShop) -> None:
    site = start(LEAKING, "--max-memory-hard=150M")
    worker = site.server.workers()[0]
    stuck = site.connect()
    stuck.send(get("/stuck"))
    site.server.wait_log("stuck")
    for _ in range(3):
        body(site, "/leak")
    site.server.wait_log(r"ERROR ending at once: it holds \d+ MB of memory, of at most 150 MB")
    wait_until(lambda: worker not in site.server.workers(), "it has ended")
    assert stuck.wait_closed() == b""
    assert body(site) == b"1"


def test_a_server_without_a_supervisor_ends(start: StartShop) -> None:
    site = start(WSGI, "--no-supervisor", "--max-requests=5")
    for _ in range(5):
        body(site)
    site.server.wait_log("ending, for there is no supervisor to replace this server: it has had 5 requests")
    assert site.server.wait(10.0) == 0
