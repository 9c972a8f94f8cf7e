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
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def load_average() -> float:
    """What else ran lately: the load average over one minute."""
    return os.getloadavg()[0]


def _line(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")
