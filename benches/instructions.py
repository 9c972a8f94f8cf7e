"""Instructions per request, counted in a run that is not timed.

Hardware counters where the machine has them. In many virtual machines there are none: then valgrind's callgrind
counts the instructions of user space, thread by thread, one at a time and some fifty times slower; the kernel's
remain unknown.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benches.load import Load, LoadClient
from benches.perf import INSTRUCTIONS, PerfCounter, can_count
from benches.process import ServerProcess


@dataclass(frozen=True)
class Instructions:
    """Instructions per request.

    Attributes:
        user: In user space.
        kernel: In the kernel; unknown without hardware counters.
    """

    user: float
    kernel: float | None


def method() -> str | None:
    """How instructions are counted here; nothing if they can't be."""
    if all(can_count(event) for event in INSTRUCTIONS):
        return "perf"
    return "callgrind" if shutil.which("valgrind") and shutil.which("callgrind_control") else None


def count(command: Sequence[str], port: int, environ: dict[str, str], load: Load) -> Instructions | None:
    """Starts a server and counts what it executes for a fixed number of requests."""
    match method():
        case "perf":
            return _by_perf(command, port, environ, load)
        case "callgrind":
            return _by_callgrind(command, port, environ, load)
        case _:
            return None


def _by_perf(command: Sequence[str], port: int, environ: dict[str, str], load: Load) -> Instructions:
    with (
        ServerProcess(command, port, environ) as server,
        LoadClient(load, server.address, warmup=1, requests=_REQUESTS["perf"]) as client,
        PerfCounter(server.pids(), INSTRUCTIONS) as counter,
    ):
        counter.begin()
        requests = client.go()["requests"]
        counts = counter.end()
    user, kernel = (counts.get(event, 0) / requests for event in INSTRUCTIONS)
    return Instructions(user, kernel)


def _by_callgrind(command: Sequence[str], port: int, environ: dict[str, str], load: Load) -> Instructions:
    with tempfile.TemporaryDirectory() as folder:
        wrapper = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", "--trace-children=yes"]
        wrapper += ["--fair-sched=yes", f"--callgrind-out-file={folder}/out.%p"]
        with (
            ServerProcess([*wrapper, *command], port, environ, patience=120) as server,
            LoadClient(load, server.address, warmup=2, requests=_REQUESTS["callgrind"]) as client,
        ):
            pids = server.pids()
            _control(["--instr=on"], pids)
            requests = client.go()["requests"]
            _control(["--dump"], pids)
            dumps = [path.read_text() for path in Path(folder).glob("out.*.*")]
    return Instructions(sum(_instructions(dump) for dump in dumps) / requests, None)


def _control(arguments: list[str], pids: Sequence[int]) -> None:
    for pid in pids:
        subprocess.run(["callgrind_control", *arguments, str(pid)], check=True, capture_output=True)


def _instructions(dump: str) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", dump, re.MULTILINE)
    return int(found.group(1)) if found else 0


_REQUESTS = {"perf": 20_000, "callgrind": 3_000}
