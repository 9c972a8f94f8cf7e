"""Clients that ask without a pause, and account for everything that went wrong.

    with Load(address, ["/", "/slow"], clients=64) as load:
        server.signal(signal.SIGHUP)
    assert not load.failures

Each client keeps its connection for as long as the server lets it, and connects again when an answer said `Connection: close`. All
else that ends a connection is a failure: a client that has just had an answer may ask again on the same connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from raw_client import Address
from ws_client import CLOSE, TEXT, close_payload, frame, handshake

PATIENCE = 30.0
"""Seconds that one answer may take."""


class Load:
    """Clients in a thread of their own, from `__enter__` to `__exit__`.

    Args:
        address: Where they ask.
        targets: What they ask for, one target after the other. One that begins with `ws:` is a WebSocket: the client sends two
            messages, waits for their echoes, and closes.
        clients: How many ask at once.

    Attributes:
        failures: What went wrong, and how often.
        answers: How many answers came, by target and body.
    """

    def __init__(self, address: Address, targets: Sequence[str], clients: int = 64) -> None:
        self.failures: Counter[str] = Counter()
        self.answers: Counter[tuple[str, bytes]] = Counter()
        self._address = address
        self._targets = list(targets)
        self._clients = clients
        self._stop = threading.Event()
        self._first = threading.Semaphore(0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:  # noqa: PYI034 (Self is 3.11+)
        self._thread.start()
        for _ in range(self._clients):
            assert self._first.acquire(timeout=PATIENCE), f"no answer: {self.failures}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def total(self) -> int:
        """How many answers have come."""
        return sum(self.answers.values())

    def stop(self) -> None:
        """Has every client end after the answer that it waits for."""
        self._stop.set()
        self._thread.join(PATIENCE + 5)
        assert not self._thread.is_alive(), "a client hangs"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        connection: _Connection | None = None
        asked = 0
        while not self._stop.is_set():
            target = self._targets[(number + asked) % len(self._targets)]
            try:
                if connection is None:
                    connection = await asyncio.wait_for(_Connection.open(self._address), PATIENCE)
                if target.startswith("ws:"):
                    talk = connection.echo(target.removeprefix("ws:"))
                else:
                    talk = connection.get(target)
                body, keeps = await asyncio.wait_for(talk, PATIENCE)
                self.answers[target, body] += 1
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                which = "first" if connection is None or connection.answers == 0 else "later"
                self.failures[f"{target}: {type(error).__name__} {error} ({which} request of its connection)"] += 1
                keeps = False
                await asyncio.sleep(0.01)
            if connection is not None and not keeps:
                connection.close()
                connection = None
            if asked == 0:
                self._first.release()
            asked += 1
        if connection is not None:
            connection.close()


class _Connection:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.answers = 0

    @classmethod
    async def open(cls, address: Address) -> _Connection:
        if isinstance(address, tuple):
            return cls(*await asyncio.open_connection(*address))
        return cls(*await asyncio.open_unix_connection(address))

    def close(self) -> None:
        self._writer.close()

    async def get(self, target: str) -> tuple[bytes, bool]:
        """The body of the answer, and whether the connection stays."""
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers = await self._head()
        if status != 200:
            raise ValueError(f"status {status}")
        if "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body = b"".join([chunk async for chunk in self._chunks()])
        self.answers += 1
        return body, headers.get("connection") != "close"

    async def echo(self, target: str) -> tuple[bytes, bool]:
        """What a WebSocket echoes. The connection is over then, or the server says that it goes (1012)."""
        self._writer.write(handshake(target))
        status, _ = await self._head()
        if status != 101:
            raise ValueError(f"status {status}")
        echoes = b""
        for text in (b"one", b"two"):
            self._writer.write(frame(TEXT, text))
            opcode, data = await self._frame()
            if (opcode, data[:2]) == (CLOSE, close_payload(1012)):
                return b"restarting", False
            if (opcode, data) != (TEXT, text):
                raise ValueError(f"frame {opcode} {data!r}")
            echoes += data
        self._writer.write(frame(CLOSE, close_payload(1000)))
        opcode, data = await self._frame()
        if opcode != CLOSE:
            raise ValueError(f"frame {opcode} {data!r} for a close")
        return echoes, False

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = (line.partition(":") for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in headers}

    async def _chunks(self):  # type: ignore[no-untyped-def]
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    async def _frame(self) -> tuple[int, bytes]:
        first, length = await self._reader.readexactly(2)
        return first & 15, await self._reader.readexactly(length)
