"""Runs the installed server as a process, for tests.

    with ServerProcess.start("app:application", "--threads=4", cwd=folder) as server:
        urlopen(server.url + "/")

The process ends with the block, and its exit code must then be 0. Its log is printed at the end, which pytest
shows where a test fails.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

START_SECONDS = 30.0
"""How long the server may take until it listens."""
STOP_SECONDS = 45.0
"""How long the server may take to end after SIGTERM: its default grace period of 30 s, and room."""
_LISTENING = re.compile(r"listening at:? +(\S+)", re.IGNORECASE)


class ServerFailed(AssertionError):
    """The server did not start, did not say what a test waits for, or did not end as it must."""


class ServerProcess:
    """A running server. Made by `start`.

    Attributes:
        process: The process itself.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str | None] | None, cwd: Path | str | None) -> None:
        self.process = subprocess.Popen(
            [*command(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
        self._stderr = _Lines(self.process.stderr)
        self._stdout = _Lines(self.process.stdout)

    @classmethod
    def start(
        cls,
        app_spec: str,
        *options: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | str | None = None,
        timeout: float = START_SECONDS,
    ) -> ServerProcess:
        """Starts a server and waits until it listens.

        Args:
            app_spec: The application, as on the command line. Empty: none is given.
            options: Command line options. Without `--bind` among them, a free port of 127.0.0.1 is used.
            env: Variables to set for the server. The value None removes one.
            cwd: Its current folder.
            timeout: Seconds that it may take.

        Raises:
            ServerFailed: It ended, or did not listen in time. The text holds its log.
        """
        binds = sum(option.startswith(("--bind", "-b")) for option in options)
        bind = [] if binds else ["--bind", "127.0.0.1:0"]
        server = cls([*bind, *options, *([app_spec] if app_spec else [])], env, cwd)
        try:
            server.wait_log(rf"(?:[\s\S]*?{_LISTENING.pattern}){{{max(binds, 1)}}}", timeout)
        except BaseException:
            server.kill()
            raise
        return server

    @property
    def addresses(self) -> list[str]:
        """What it listens at, as it says: URLs, or `unix:PATH`."""
        return _LISTENING.findall(self.log())

    @property
    def url(self) -> str:
        """Where it serves, without a slash at the end: `http://127.0.0.1:12345`."""
        for address in self.addresses:
            if address.startswith("http"):
                return address.rstrip("/")
        raise ServerFailed(f"the server listens at no URL, only at {self.addresses}")

    @property
    def port(self) -> int:
        """The TCP port that it serves at."""
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The process id of the server that was started."""
        return self.process.pid

    def workers(self) -> list[int]:
        """The process ids of its workers: all children that it has forked, oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def log(self) -> str:
        """All that it wrote to the standard error output up to now."""
        return self._stderr.text()

    def output(self) -> str:
        """All that it wrote to the standard output up to now."""
        return self._stdout.text()

    def wait_log(self, regex: str, timeout: float = 10.0) -> re.Match[str]:
        """Waits until the log holds a match of `regex` (letter case is ignored, `^` and `$` match at lines).

        Raises:
            ServerFailed: It did not come within `timeout` seconds, or the server ended without it.
        """
        return self._stderr.wait(regex, timeout)

    def wait_output(self, regex: str, timeout: float = 10.0) -> re.Match[str]:
        """As `wait_log`, for the standard output."""
        return self._stdout.wait(regex, timeout)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Waits until it has ended and all of its log has been read; returns the exit code.

        Raises:
            ServerFailed: It still runs after `timeout` seconds. It is then killed.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"the server did not end within {timeout} s; its log:\n{self.log()}") from None
        self._stderr.join()
        self._stdout.join()
        return code

    def stop(self, expect: int | None = 0, timeout: float = STOP_SECONDS) -> int:
        """Sends SIGTERM where it still runs, and waits for the end; returns the exit code.

        Args:
            expect: The exit code that it must have; None: any.
            timeout: Seconds that it may take.

        Raises:
            ServerFailed: Another exit code, or still running after `timeout` seconds.
        """
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait(timeout)
        if expect is not None and code != expect:
            raise ServerFailed(f"the server ended with {code} instead of {expect}; its log:\n{self.log()}")
        return code

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()
        self._stderr.join()
        self._stdout.join()

    def __enter__(self) -> ServerProcess:  # noqa: PYI034 (Self is 3.11+)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(expect=0 if error is None else None)
        finally:
            print(f"--- log of the server (pid {self.pid}) ---\n{self.log()}--- end ---", file=sys.stderr)


def run(
    *arguments: str,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | str | None = None,
    timeout: float = START_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, for what serves nothing: `--help`, `--check`, errors."""
    return subprocess.run(
        [*command(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=environment(env),
        cwd=cwd,
        timeout=timeout,
        check=False,
    )


def command() -> list[str]:
    """The server's command: `ironbridge` beside the interpreter, or what $SERVER_UNDER_TEST says."""
    if other := os.environ.get("SERVER_UNDER_TEST"):
        return shlex.split(other)
    return [str(Path(sys.executable).with_name("ironbridge"))]


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment with `changes`, and without what would change the server's options."""
    merged: dict[str, str | None] = {
        name: value for name, value in os.environ.items() if name != "PORT" and not name.startswith("IRONBRIDGE_")
    }
    merged.update(changes or {})
    return {name: value for name, value in merged.items() if value is not None}


class _Lines:
    """What a pipe has given up to now, read by a thread, so that the writer never blocks."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None, "opened with PIPE"
        self._pipe = pipe
        self._text = ""
        self._ended = False
        self._grew = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def text(self) -> str:
        with self._grew:
            return self._text

    def wait(self, regex: str, timeout: float) -> re.Match[str]:
        pattern = re.compile(regex, re.IGNORECASE | re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._grew:
            while (match := pattern.search(self._text)) is None:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the server ended" if self._ended else f"{timeout} s passed"
                    raise ServerFailed(f"{why} without {regex!r}; up to now:\n{self._text}")
                self._grew.wait(left)
            return match

    def join(self) -> None:
        # A child that inherited the pipe could keep it open after the server's end: do not wait for ever.
        self._reader.join(5.0)

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                with self._grew:
                    self._text += line.decode("utf-8", "backslashreplace")
                    self._grew.notify_all()
        with self._grew:
            self._ended = True
            self._grew.notify_all()
