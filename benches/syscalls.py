"""System calls per request, counted in a run that is not timed."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benches.perf import SYSTEM_CALLS, PerfCounter, can_count


def method() -> str | None:
    """How system calls are counted here; nothing if they can't be."""
    if can_count(SYSTEM_CALLS):
        return "perf"
    return "strace" if shutil.which("strace") else None


def count(pids: Sequence[int], run: Callable[[], object]) -> int | None:
    """Counts the system calls that processes make during `run()`."""
    match method():
        case "perf":
            with PerfCounter(pids, [SYSTEM_CALLS]) as counter:
                counter.begin()
                run()
                return counter.end().get(SYSTEM_CALLS)
        case "strace":
            return _strace(pids, run)
        case _:
            return None


def _strace(pids: Sequence[int], run: Callable[[], object]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        targets = [part for pid in pids for part in ("-p", str(pid))]
        command = ["strace", "-c", "-f", "-o", str(out), *targets]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for _ in pids:
            process.stderr.readline()  # "Process N attached"
        run()
        process.send_signal(signal.SIGINT)
        process.communicate()
        total = re.search(r"^\s*100\.00\s+\S+\s+\S*\s*(\d+)\s.*total$", out.read_text(), re.MULTILINE)
        return int(total.group(1)) if total else 0
