"""Counts events of running processes with `perf stat`, where the machine can."""

from __future__ import annotations

import csv
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SYSTEM_CALLS = "raw_syscalls:sys_enter"
INSTRUCTIONS = ("instructions:u", "instructions:k")


@functools.cache
def can_count(event: str) -> bool:
    """Whether `perf` is there and this machine counts the event."""
    if shutil.which("perf") is None:
        return False
    command = ["perf", "stat", "-x", ";", "-e", event, "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stderr.partition(";")[0].strip().isdigit()


class PerfCounter:
    """Counts events from `begin()` to `end()`, as a context manager."""

    def __init__(self, pids: Sequence[int], events: Sequence[str]) -> None:
        """Prepares to count.

        Args:
            pids: The processes, with all threads and children.
            events: As `perf list` names them.
        """
        self._pids, self._events = pids, events

    def __enter__(self) -> PerfCounter:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        for name in ("control", "acknowledge"):
            os.mkfifo(folder / name)
        # Started disabled, and told over a pipe: the counts then hold nothing but the run.
        command = ["perf", "stat", "-x", ";", "-e", ",".join(self._events), "--delay", "-1", "-o", str(folder / "out")]
        command += ["--control", f"fifo:{folder}/control,{folder}/acknowledge"]
        self._process = subprocess.Popen([*command, "-p", ",".join(map(str, self._pids))], stderr=subprocess.DEVNULL)
        self._control = (folder / "control").open("w")
        self._acknowledge = (folder / "acknowledge").open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._control.close()
        self._acknowledge.close()
        self._folder.cleanup()

    def begin(self) -> None:
        """Starts counting; returns when it counts."""
        self._tell("enable")

    def end(self) -> dict[str, int]:
        """Stops counting and returns the count of each event."""
        self._tell("disable")
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)
        with (Path(self._folder.name) / "out").open() as out:
            rows = [row for row in csv.reader(out, delimiter=";") if len(row) > 2 and row[0].isdigit()]
        return {row[2]: int(row[0]) for row in rows}

    def _tell(self, command: str) -> None:
        self._control.write(f"{command}\n")
        self._control.flush()
        self._acknowledge.readline()
