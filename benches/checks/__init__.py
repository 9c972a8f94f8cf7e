"""Promises that need more than a comparison: one command each."""

from __future__ import annotations

from collections.abc import Callable

from benches.checks import blocked, idle, memory, slow, soak, stream
from benches.environment import Environment
from benches.verdict import Verdicts

CHECKS: dict[str, Callable[[Environment, bool], Verdicts]] = {
    "blocked": blocked.run,
    "slow": slow.run,
    "idle": idle.run,
    "memory": memory.run,
    "soak": soak.run,
    "stream": stream.run,
}
