"""Drives the load client (`benches/load`, Rust), pinned to its core."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from benches.environment import ROOT
from benches.process import LOAD_CORE, on_core

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A kind of request.

    Attributes:
        name: Its name in the outcome.
        content: The request, byte by byte.
        weight: Its share, relative to the others'.
        fate: "" to see it through, "cut=BYTES" to close after so many sent, "leave=BYTES" after so many received.
    """

    name: str
    content: bytes
    weight: int = 1
    fate: str = ""


@dataclass(frozen=True)
class Load:
    """What a client does.

    Attributes:
        requests: The mix.
        connections: Connections held at once.
        close: A new connection for each request.
        upgrade: The handshake of a WebSocket, where connections are such: requests are frames then.
        fan: One connection sends, and each of them receives what it sent.
    """

    requests: tuple[Request, ...]
    connections: int = 64
    close: bool = False
    upgrade: bytes = b""
    fan: bool = False


class LoadFailed(Exception):
    """The load client ended without an outcome."""


class LoadClient:
    """A load client at work, as a context manager: warms up, waits for `go()`, keeps its connections until the end."""

    def __init__(self, load: Load, address: str, *, warmup: float, seconds: float = 0, requests: int = 0) -> None:
        """Prepares a run.

        Args:
            load: What to do.
            address: HOST:PORT of the server.
            warmup: Seconds of load that is not measured.
            seconds: Length of the run, or
            requests: number of requests.
        """
        self._folder = tempfile.TemporaryDirectory()
        self._command = [str(build()), "--address", address, "--connections", str(load.connections)]
        self._command += ["--warmup", str(warmup)]
        self._command += ["--requests", str(requests)] if requests else ["--seconds", str(seconds)]
        self._command += ["--close"] if load.close else []
        if load.upgrade:
            path = Path(self._folder.name) / "upgrade"
            path.write_bytes(load.upgrade)
            self._command += ["--upgrade", str(path), *(["--fan"] if load.fan else [])]
        for number, request in enumerate(load.requests):
            path = Path(self._folder.name) / str(number)
            path.write_bytes(request.content)
            parts = [request.name, str(request.weight), str(path), *([request.fate] if request.fate else [])]
            self._command += ["--class", ",".join(parts)]

    def __enter__(self) -> LoadClient:
        with on_core(LOAD_CORE):
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        self._hear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def go(self) -> Outcome:
        """Runs, and returns what came out when the last answer is there."""
        self.begin()
        return self.finish()

    def begin(self) -> None:
        """Starts the run."""
        stdin = _pipe(self._process.stdin)
        stdin.write("go\n")
        stdin.flush()

    def finish(self) -> Outcome:
        """Waits for the run's end."""
        outcome: Outcome = json.loads(self._hear())
        return outcome

    def _hear(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise LoadFailed(_pipe(self._process.stderr).read().strip() or "the load client died")
        return line


def build() -> Path:
    """Compiles the load client if need be, and returns its path."""
    global _binary
    if _binary is None:
        target = ROOT / "target" / "load"
        manifest = ROOT / "benches" / "load" / "Cargo.toml"
        command = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", str(manifest)]
        subprocess.run([*command, "--target-dir", str(target)], check=True)
        _binary = target / "release" / "ironbridge-load"
    return _binary


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


_binary: Path | None = None
