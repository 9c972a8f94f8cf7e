"""Facts of the machine that a figure depends on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def facts() -> dict[str, str]:
    """Processor, cores, kernel, memory and Python, without a word on where anything lies."""
    return {
        "Processor": _line("/proc/cpuinfo", "model name"),
        "Cores": str(os.cpu_count()),
        "Virtual machine": "yes" if "hypervisor" in _line("/proc/cpuinfo", "flags").split() else "no",
        "Memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def busy_seconds() -> float:
    """CPU seconds that all cores together have worked since the machine started (proc(5), /proc/stat)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    idle, waiting = 3, 4
    # The guests' time, from the ninth field on, is in the user time already.
    ticks = sum(int(field) for place, field in enumerate(fields[:8]) if place not in (idle, waiting))
    return ticks / os.sysconf("SC_CLK_TCK")


# Up to this share of the machine others may use before a measurement counts as disturbed.
QUIET = 0.1


def _line(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")
