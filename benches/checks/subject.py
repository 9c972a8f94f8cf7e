"""Starts the server under check, and speaks plain HTTP/1.1 with it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from benches.environment import Environment
from benches.load import Load, LoadClient, Outcome, Request
from benches.process import ServerProcess, free_port
from benches.rows import get


def ironbridge(environment: Environment, *options: str) -> ServerProcess:
    """Ironbridge with 64 threads and the load-testing target; further options as on its command line."""
    port = free_port()
    command = [str(environment.bin / "ironbridge"), "--bind", f"127.0.0.1:{port}", "--threads", "64"]
    return ServerProcess([*command, *options, "target_app:wsgi"], port)


def warm_up(server: ServerProcess, seconds: float = 2.0) -> Outcome:
    """Keeps the server busy, so that threads and memory are what they are in daily life."""
    load = Load((Request("all", get("/plaintext")),))
    with LoadClient(load, server.address, warmup=0, seconds=seconds) as client:
        return client.go()


@dataclass(frozen=True)
class Answer:
    """The first bytes of an answer.

    Attributes:
        status: Its code; 0 if the server only closed.
        head: All that came with the first read.
        seconds: From the request's last byte to the answer's first.
    """

    status: int
    head: bytes
    seconds: float


def ask(server: ServerProcess, request: bytes, patience: float = 5.0) -> Answer:
    """Sends a request on a connection of its own and reads the beginning of the answer.

    Raises:
        TimeoutError: Nothing came in time.
    """
    with connect(server, patience) as client:
        begun = time.perf_counter()
        client.sendall(request)
        head = client.recv(65536)
        seconds = time.perf_counter() - begun
    return Answer(int(head[9:12]) if head else 0, head, seconds)


def connect(server: ServerProcess, patience: float = 5.0) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=patience)
