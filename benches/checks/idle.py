"""What an idle keep-alive connection costs."""

from __future__ import annotations

import contextlib
import resource
import socket
import time

from benches import servers
from benches.checks.subject import connect, ironbridge, warm_up
from benches.counters import resident_set
from benches.environment import Environment
from benches.process import ServerProcess, free_port
from benches.rows import get
from benches.verdict import Verdicts

_CONNECTIONS = 8000
_BOUND_KB = 12.0


def run(environment: Environment, quick: bool) -> Verdicts:
    """Holds 8 000 connections, each after one request; Granian's figure for comparison."""
    verdicts = Verdicts()
    count = _allow(_CONNECTIONS // (8 if quick else 1))
    cost = _cost(ironbridge(environment), count, verdicts)
    verdicts.at_most(f"Ironbridge, memory per idle connection ({count})", cost, _BOUND_KB, "KB")
    if "granian" in environment.versions:
        granian = next(server for server in servers.SERVERS if server.key == "granian-1")
        port = free_port()
        command = [
            *granian.command(environment, "target_app:wsgi", port),
            "--backlog",
            "16384",
            "--backpressure",
            "16384",
        ]
        cost = _cost(ServerProcess(command, port), count, verdicts)
        verdicts.figure("Granian, likewise", f"{cost:.1f} KB")
    return verdicts


def _cost(server: ServerProcess, count: int, verdicts: Verdicts) -> float:
    """Kilobytes (1000 bytes) of resident memory that each connection adds."""
    with server, contextlib.ExitStack() as stack:
        warm_up(server)
        before = resident_set(server.pids())
        clients = [stack.enter_context(connect(server)) for _ in range(count)]
        for client in clients:
            _exchange(client)
        time.sleep(0.5)  # lets allocators give back what they will
        after = resident_set(server.pids())
        alive = sum(_exchange(client) for client in clients[:: max(1, count // 50)])
        verdicts.holds("idle connections still answer", alive == len(clients[:: max(1, count // 50)]))
        verdicts.figure("resident memory before, after", f"{before / 1e6:.1f} MB, {after / 1e6:.1f} MB")
    return (after - before) / count / 1000


def _exchange(client: socket.socket) -> bool:
    client.sendall(get("/plaintext"))
    answer = b""
    while not answer.endswith(b"Hello, world!"):
        piece = client.recv(4096)
        if not piece:
            return False
        answer += piece
    return answer.startswith(b"HTTP/1.1 200")


def _allow(connections: int) -> int:
    """Raises the limit of descriptors, and returns how many connections it allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return connections if hard == resource.RLIM_INFINITY else min(connections, hard - 500)
