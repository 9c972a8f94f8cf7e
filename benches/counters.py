"""What the kernel knows of a server's processes: CPU time, context switches, memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Usage:
    """What was used between two moments.

    Attributes:
        cpu: CPU seconds, user and kernel.
        switches: Context switches, voluntary or not.
        peak_memory: Bytes: the largest resident set of a single process, or of several the largest sum of
            proportional sets that was seen.
    """

    cpu: float
    switches: int
    peak_memory: int


@dataclass
class Meter:
    """Watches processes from `start()` to `stop()`.

    Looks again twice a second, so that a thread that ends in between takes little with it.
    """

    pids: list[int]
    _cpu: float = 0.0
    _first: dict[tuple[int, int], int] = field(default_factory=dict)
    _latest: dict[tuple[int, int], int] = field(default_factory=dict)
    _largest: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None

    def start(self) -> None:
        """Takes the first look."""
        self._first = _switches(self.pids)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._cpu = cpu_seconds(self.pids)

    def stop(self) -> Usage:
        """Takes the last look."""
        cpu = cpu_seconds(self.pids) - self._cpu
        assert self._watcher is not None
        self._stopped.set()
        self._watcher.join()
        self._look()
        switches = sum(count - self._first.get(thread, 0) for thread, count in self._latest.items())
        peak = high_water_mark(self.pids[0]) if len(self.pids) == 1 else self._largest
        return Usage(cpu, switches, peak)

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            self._look()

    def _look(self) -> None:
        self._latest.update(_switches(self.pids))
        if len(self.pids) > 1:
            self._largest = max(self._largest, sum(proportional_set(pid) for pid in self.pids))


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of processes, with that of threads that have ended, in seconds."""
    total = 0
    for pid in pids:
        try:
            # The CPU clock of another process, as clock_getcpuclockid(3) makes it: nanoseconds, where
            # /proc/PID/stat has hundredths of a second.
            total += time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:
            continue
    return total / 1e9


def high_water_mark(pid: int) -> int:
    """The largest resident set that a process ever had, in bytes."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:")


def resident_set(pids: Iterable[int]) -> int:
    """Resident memory of processes, in bytes."""
    return sum(_kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") for pid in pids)


def proportional_set(pid: int) -> int:
    """Resident memory, shared pages divided among those who share them, in bytes."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def reset_high_water_mark(pid: int) -> None:
    """Makes `high_water_mark` start anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pids: Iterable[int]) -> int:
    """Open file descriptors of processes."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def threads(pids: Iterable[int]) -> int:
    """Threads of processes."""
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


def _switches(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    found = {}
    for pid in pids:
        for task in _tasks(pid):
            try:
                lines = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
            except OSError:
                continue
            found[pid, task] = sum(int(line.split()[1]) for line in lines if "ctxt_switches:" in line)
    return found


def _tasks(pid: int) -> list[int]:
    try:
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _kilobytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
