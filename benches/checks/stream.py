"""A gigabyte streamed to a slow reader: the server holds next to nothing of it."""

from __future__ import annotations

import socket
import time

from benches import counters
from benches.checks.subject import ask, connect, ironbridge, warm_up
from benches.environment import Environment
from benches.process import LOAD_CORE, ServerProcess, on_core
from benches.rows import get
from benches.verdict import Verdicts

_CHUNK = 1024
_BOUND_MB = 1.0
_PAUSES = 40


def run(environment: Environment, quick: bool) -> Verdicts:
    """Reads with pauses, watches the server's memory, and asks for something else meanwhile."""
    verdicts = Verdicts()
    chunks = (1 << 20) // (16 if quick else 1)
    with ironbridge(environment) as server, on_core(LOAD_CORE):
        warm_up(server)
        _stream(server, 4096)
        (pid, *others) = server.pids()
        assert not others, "one process is expected"
        before = counters.resident_set([pid])
        counters.reset_high_water_mark(pid)
        received, waits = _stream(server, chunks)
        grown = (counters.high_water_mark(pid) - before) / 1e6
    verdicts.holds("all of it arrives", received >= chunks * _CHUNK, f"{received:,} bytes on the wire")
    verdicts.at_most("most memory beyond that before", grown, _BOUND_MB, "MB")
    verdicts.at_most("slowest other request while the reader pauses", max(waits) * 1000, 10, "ms")
    return verdicts


def _stream(server: ServerProcess, chunks: int) -> tuple[int, list[float]]:
    """Reads a stream with pauses; returns the bytes that came and how long other requests took meanwhile."""
    waits = []
    received = 0
    next_pause = 0
    with connect(server, patience=30) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(get(f"/stream/{chunks}", "Connection: close"))
        while piece := client.recv(65536):
            received += len(piece)
            if received >= next_pause:
                next_pause += chunks * _CHUNK // _PAUSES
                time.sleep(0.1)  # the slow reader's slowness
                waits.append(ask(server, get("/plaintext")).seconds)
    return received, waits
