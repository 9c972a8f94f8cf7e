"""A million requests from clients good and bad: nothing may grow."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benches import counters
from benches.checks.subject import ironbridge
from benches.environment import Environment
from benches.load import Load, LoadClient, Outcome, Request
from benches.process import ServerProcess
from benches.rows import get, post
from benches.verdict import Verdicts

_REQUESTS = 1_000_000
# Pages that allocators keep or give back from one second to the next.
_NOISE_MB = 2.0


def run(environment: Environment, quick: bool) -> Verdicts:
    """Compares memory, descriptors and threads after a tenth of the requests with those at the end."""
    verdicts = Verdicts()
    requests = _REQUESTS // (10 if quick else 1)
    with ironbridge(environment) as server:
        idle = counters.descriptors(server.pids())
        _soak(server, requests // 10, verdicts)
        first = _state(server, idle)
        for _ in range(3):
            _soak(server, requests * 3 // 10, verdicts)
            verdicts.figure("so far", str(_state(server, idle)))
        last = _state(server, idle)
    verdicts.figure("after the first tenth", str(first))
    verdicts.at_most("growth of memory", (last.memory - first.memory) / 1e6, _NOISE_MB, "MB")
    verdicts.at_most("growth of descriptors", last.descriptors - first.descriptors, 0)
    verdicts.at_most("growth of threads", last.threads - first.threads, 0)
    return verdicts


@dataclass(frozen=True)
class State:
    """What a server holds."""

    memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.threads} threads"


def _soak(server: ServerProcess, requests: int, verdicts: Verdicts) -> None:
    with LoadClient(Load(_mix()), server.address, warmup=0, requests=requests) as client:
        outcome: Outcome = client.go()
    classes = outcome["classes"]
    left = sum(kind["left"] for kind in classes.values())
    verdicts.figure("requests", f"{outcome['requests']:,} at {outcome['rate']:,.0f}/s, {left:,} given up by clients")
    failed = {name: kind["failed"] for name, kind in classes.items() if kind["failed"]}
    verdicts.holds("every request is answered that waits for it", not failed, str(failed or ""))


def _mix() -> tuple[Request, ...]:
    upload = post("/echo", b"x" * 20_000)
    head = get("/headers/8", *(f"X-Field-{number}: some value" for number in range(15)))
    return (
        Request("plaintext", get("/plaintext"), 50),
        Request("headers", head, 15),
        Request("json", get("/json"), 10),
        Request("upload", upload, 10),
        Request("stream", get("/stream/20"), 3),
        Request("sleep", get("/sleep/5"), 2),
        Request("error", get("/status/500"), 2),
        Request("mid-head", head, 2, "cut=60"),
        Request("mid-body", upload, 2, "cut=9000"),
        Request("mid-large-body", post("/echo", b"x" * 200_000), 1, "cut=150000"),
        Request("mid-response", get("/bytes/1000000"), 1, "leave=5000"),
        Request("mid-stream", get("/stream/1000"), 2, "leave=5000"),
    )


def _state(server: ServerProcess, idle: int) -> State:
    """The server's state once its connections are closed, or after five seconds."""
    deadline = time.monotonic() + 5
    while counters.descriptors(server.pids()) > idle and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = server.pids()
    return State(counters.resident_set(pids), counters.descriptors(pids), counters.threads(pids))
