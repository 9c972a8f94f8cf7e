"""The comparison: servers in turn, round after round, so that all see the same machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches import instructions, machine, syscalls
from benches.counters import Meter
from benches.environment import IMPORT_PATH, Environment
from benches.load import LoadClient, LoadFailed
from benches.process import ServerFailed, ServerProcess, free_port
from benches.rows import ROWS, Row
from benches.servers import ASYNC_BASELINE, BASELINE, SERVERS, Server

Figures = dict[str, float]
Result = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How thorough a comparison is.

    Attributes:
        rows: What is asked.
        servers: Who is asked; those that are not installed are left out.
        rounds: Times that each server is measured in each row.
        warmup: Seconds before each measurement.
        seconds: Length of each measurement.
        count_calls: Count system calls, in runs of their own.
        count_instructions: Count instructions, in runs of their own.
    """

    rows: tuple[Row, ...]
    servers: tuple[Server, ...]
    rounds: int
    warmup: float
    seconds: float
    count_calls: bool
    count_instructions: bool


def compare(settings: Settings, environment: Environment) -> Result:
    """Measures everything and returns it as JSON has it."""
    missing = {server.key: environment.missing.get(server.package) for server in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(settings, environment, _database(environment, Path(folder)))
        rows = [bench.row(row) for row in settings.rows]
    return {
        "machine": machine.facts(),
        "method": {
            "rounds": settings.rounds,
            "warmup": settings.warmup,
            "seconds": settings.seconds,
            "instructions": instructions.method() if settings.count_instructions else None,
            "system_calls": syscalls.method() if settings.count_calls else None,
        },
        "versions": environment.versions,
        "servers": {server.key: _describe(server) for server in settings.servers},
        "missing": {key: reason for key, reason in missing.items() if reason},
        "rows": rows,
    }


@dataclass
class _Bench:
    settings: Settings
    environment: Environment
    environ: dict[str, str]

    def row(self, row: Row) -> Result:
        servers = [server for server in self.settings.servers if self._takes_part(server, row)]
        rounds: dict[str, list[Figures]] = {server.key: [] for server in servers}
        errors: dict[str, str] = {}
        for number in range(self.settings.rounds):
            for server in servers:
                _say(f"{row.key} {number + 1}/{self.settings.rounds} {server.key}")
                self._try(server, errors, lambda s=server: rounds[s.key].append(self._time(s, row)))
        counts = {server.key: self._count(server, row) for server in servers if rounds[server.key]}
        results = {key: _summary(key, rounds, counts) for key in rounds if rounds[key]}
        return {
            "key": row.key,
            "title": row.title,
            "interface": row.interface,
            "load": _load(row),
            "results": results,
            "errors": errors,
        }

    def _takes_part(self, server: Server, row: Row) -> bool:
        if server.package not in self.environment.versions or server.key in row.without:
            return False
        if server.interface != row.interface:
            return False
        special = {key for other in ROWS for key in other.extra}
        return server.key in row.extra or server.key not in special

    def _time(self, server: Server, row: Row) -> Figures:
        settings = self.settings
        with (
            self._start(server, row) as process,
            LoadClient(row.load, process.address, warmup=settings.warmup, seconds=settings.seconds) as client,
        ):
            meter = Meter(process.pids())
            meter.start()
            begun, busy = time.monotonic(), machine.busy_seconds()
            outcome = client.go()
            length, busy = time.monotonic() - begun, machine.busy_seconds() - busy
            usage = meter.stop()
        latency = outcome["classes"][row.latency_of] if row.latency_of else outcome["all"]
        answered = outcome["all"]["answered"]
        if answered == 0:
            raise LoadFailed(f"no request was answered: {outcome['failure']}")
        return {
            "cpu_us": usage.cpu * 1e6 / outcome["requests"],
            "switches": usage.switches / outcome["requests"],
            "rate": outcome["rate"],
            "p50_ms": latency["p50"] / 1000,
            "p99_ms": latency["p99"] / 1000,
            "memory_mb": usage.peak_memory / 1e6,
            "failed": outcome["all"]["failed"] + outcome["all"]["other_status"],
            "client_busy": outcome["busy"],
            "others": _others(busy - usage.cpu - outcome["busy"] * length, length),
        }

    def _count(self, server: Server, row: Row) -> dict[str, float | None]:
        counts: dict[str, float | None] = {}
        errors: dict[str, str] = {}
        if self.settings.count_calls:
            _say(f"{row.key} system calls {server.key}")
            self._try(server, errors, lambda: counts.update(calls=self._count_calls(server, row)))
        if self.settings.count_instructions and not row.heavy:
            _say(f"{row.key} instructions {server.key}")
            self._try(server, errors, lambda: counts.update(self._count_instructions(server, row)))
        for error in errors.values():
            _say(f"not counted: {error}")
        return counts

    def _count_calls(self, server: Server, row: Row) -> float | None:
        with (
            self._start(server, row) as process,
            LoadClient(row.load, process.address, warmup=0.5, seconds=1) as client,
        ):
            outcomes: list[Result] = []
            calls = syscalls.count(process.pids(), lambda: outcomes.append(client.go()))
            return None if calls is None else calls / outcomes[0]["requests"]

    def _count_instructions(self, server: Server, row: Row) -> dict[str, float | None]:
        port = free_port()
        command = server.command(self.environment, row.app, port)
        counted = instructions.count(command, port, self.environ, row.load)
        return {"user": counted.user, "kernel": counted.kernel} if counted else {}

    def _start(self, server: Server, row: Row) -> ServerProcess:
        port = free_port()
        return ServerProcess(server.command(self.environment, row.app, port), port, self.environ)

    @staticmethod
    def _try(server: Server, errors: dict[str, str], measure: Any) -> None:
        try:
            measure()
        except (ServerFailed, LoadFailed, subprocess.SubprocessError, OSError) as error:
            errors[server.key] = str(error)[-300:]
            _say(f"{server.key} failed: {errors[server.key]}")


def _others(seconds: float, length: float) -> float:
    """The share of the machine that neither server nor client used: what disturbed the measurement."""
    return max(0.0, seconds / length / (os.cpu_count() or 1))


def _summary(key: str, rounds: dict[str, list[Figures]], counts: dict[str, dict[str, float | None]]) -> Result:
    mine = rounds[key]
    medians: Result = {name: statistics.median(figures[name] for figures in mine) for name in mine[0]}
    # Round by round: what disturbs the machine for a while disturbs both.
    base = rounds.get(BASELINE) or rounds.get(ASYNC_BASELINE, [])
    ratios = [own["cpu_us"] / other["cpu_us"] for own, other in zip(mine, base, strict=False)]
    ratio = statistics.median(ratios) if ratios else None
    return {**medians, **counts.get(key, {}), "cpu_ratio": ratio, "rounds": mine}


def _describe(server: Server) -> Result:
    return {"label": server.label, "package": server.package, "threads": server.threads, "note": server.note}


def _load(row: Row) -> Result:
    requests = [
        {name: value for name, value in asdict(request).items() if name != "content"} for request in row.load.requests
    ]
    return {"connections": row.load.connections, "close": row.load.close, "requests": requests}


def _database(environment: Environment, folder: Path) -> dict[str, str]:
    """Has the Django site make its database, before servers with several processes all try to."""
    environ = {"BENCH_VAR": str(folder)}
    path = os.pathsep.join(map(str, IMPORT_PATH))
    command = [environment.python, "-c", "import bench.wsgi"]
    subprocess.run(command, env={**os.environ, **environ, "PYTHONPATH": path}, check=True)
    return environ


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
