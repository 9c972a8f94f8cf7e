"""Runs one server: pinned to its core, with its log in a file, ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from benches.environment import IMPORT_PATH

SERVER_CORE = 0
LOAD_CORE = 1


class ServerFailed(Exception):
    """The server did not start, or died. Its text is the end of the server's log."""


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pins what is started inside to a core. With one core only, nothing is pinned."""
    before = os.sched_getaffinity(0)
    if (os.cpu_count() or 1) > core and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class ServerProcess:
    """A running server, as a context manager.

    Attributes:
        command: Its command line.
        port: Where it listens.
        environ: Variables beside the ones inherited.
        patience: Seconds that it may take to start.
    """

    command: Sequence[str]
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    patience: float = 30.0
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        self._log = tempfile.TemporaryFile()
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, IMPORT_PATH)),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.environ,
        }
        with on_core(SERVER_CORE):
            # A session of its own, so that all of its processes can be found, and ended.
            self._process = subprocess.Popen(
                self.command, stdout=self._log, stderr=subprocess.STDOUT, env=environ, start_new_session=True
            )
        try:
            self._await_start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None and self._log is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        while self.pids() and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.02)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def pids(self) -> list[int]:
        """The server's processes that live."""
        assert self._process is not None
        return [pid for pid in _all_pids() if _lives_in_session(pid, self._process.pid)]

    def log(self) -> str:
        """The end of what the server wrote."""
        assert self._log is not None
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:].strip()

    def _await_start(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.patience
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerFailed(f"exit code {self._process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"no answer within {self.patience:.0f} s: {self.log()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=self.patience) as client:
                client.sendall(b"GET /no-such-path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return client.recv(12).startswith(b"HTTP/1.")
        except OSError:
            return False


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _lives_in_session(pid: int, session: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[3]) == session and fields[0] != "Z"
