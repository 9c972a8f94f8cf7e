"""A hundred slow clients next to sixty-four fast connections."""

from __future__ import annotations

import socket
import statistics
import threading
from dataclasses import dataclass, field

from benches.checks.subject import connect, ironbridge, warm_up
from benches.environment import Environment
from benches.process import LOAD_CORE, ServerProcess, on_core
from benches.rows import get, post
from benches.verdict import Verdicts

_CROWD = 100
_TEN_MEGABYTES = 10 << 20


def run(environment: Environment, quick: bool) -> Verdicts:
    """Measures the fast connections with and without the slow crowd, in turn."""
    verdicts = Verdicts()
    rounds, seconds = (1, 2.0) if quick else (4, 5.0)
    ratios = []
    with ironbridge(environment) as server, on_core(LOAD_CORE):
        warm_up(server)
        for _ in range(rounds):
            alone = warm_up(server, seconds)["rate"]
            with Crowd(server) as crowd:
                among = warm_up(server, seconds)
                served = crowd.served()
            ratios.append(among["rate"] / alone)
            verdicts.figure("requests/s alone, among slow clients", f"{alone:,.0f}, {among['rate']:,.0f}")
            verdicts.figure("p99 among slow clients", f"{among['all']['p99'] / 1000:.2f} ms; {served}")
            verdicts.holds("every fast request is answered", among["all"]["failed"] == 0)
    verdicts.at_least("share of the throughput that is kept", statistics.median(ratios), 0.9)
    return verdicts


@dataclass
class SlowClient:
    """A client that sends a byte of its request a second, or reads its response as slowly.

    Attributes:
        request: What it sends at last.
        at_once: How many bytes of it go first.
    """

    request: bytes
    at_once: int
    connection: socket.socket | None = None
    sent: int = 0
    received: int = 0

    def step(self, server: ServerProcess) -> None:
        """Does what is due once a second. A client that the server dropped comes again."""
        try:
            if self.connection is None:
                self._connect(server)
            elif self.sent < len(self.request):
                self.sent += self.connection.send(self.request[self.sent : self.sent + 1])
            else:
                self._read(self.connection)
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        """Leaves."""
        if self.connection is not None:
            self.connection.close()
        self.connection, self.sent = None, 0

    def _connect(self, server: ServerProcess) -> None:
        self.connection = connect(server)
        # A small window, so that little of a response hides in the kernel.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.connection.sendall(self.request[: self.at_once])
        self.sent = self.at_once
        self.connection.setblocking(False)

    def _read(self, client: socket.socket) -> None:
        piece = client.recv(1024)
        self.received += len(piece)
        if not piece:
            self.close()


@dataclass
class Crowd:
    """A hundred slow clients on one thread, as a context manager that returns when all are connected."""

    server: ServerProcess
    _clients: list[SlowClient] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Crowd:
        head = get("/plaintext", *(f"X-Slow-{number}: {'x' * 40}" for number in range(10)))
        body = post("/echo", b"x" * 5000)
        large = get(f"/bytes/{_TEN_MEGABYTES}")
        kinds = ((head, 1), (body, body.index(b"\r\n\r\n") + 4), (large, len(large)))
        self._clients = [SlowClient(*kinds[number % 3]) for number in range(_CROWD)]
        for client in self._clients:
            client.step(self.server)
        self._thread = threading.Thread(target=self._walk, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for client in self._clients:
            client.close()

    def served(self) -> str:
        """Shows that the crowd is there and gets something."""
        connected = sum(client.connection is not None for client in self._clients)
        received = sum(client.received for client in self._clients)
        return f"{connected} slow clients connected, {received:,} bytes read by them"

    def _walk(self) -> None:
        # Spread over the second, as clients of the world are.
        while not self._stop.is_set():
            for client in self._clients:
                client.step(self.server)
                if self._stop.wait(1 / _CROWD):
                    return
