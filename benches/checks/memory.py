"""What four workers hold of the Django demo, with and without --preload, beside Gunicorn."""

from __future__ import annotations

import http.client
import subprocess
import time

from benches.counters import proportional_set
from benches.environment import ROOT, Environment
from benches.process import ServerProcess, free_port
from benches.verdict import Verdicts

_DEMO = ROOT / "tests" / "sites" / "demo"
_PAGES = ("/", "/admin/login/", "/flask/")
_BOUND = 1.1
"""Of Gunicorn with as many threads."""


def run(environment: Environment, quick: bool) -> Verdicts:
    """Adds up the proportional set size (PSS: shared memory is parted among those that share it) of all processes."""
    verdicts = Verdicts()
    subprocess.run([environment.python, "-m", "demo.setup"], cwd=_DEMO, check=True, capture_output=True)
    rounds = 40 if quick else 400
    for preload in ([], ["--preload"]):
        words = " ".join(preload)
        ours = _held(environment, ["ironbridge", "--workers", "4", *preload], rounds)
        verdicts.figure(f"Ironbridge {words}", f"{ours:.0f} MB")
        if "gunicorn" in environment.versions:
            threads = ["--worker-class", "gthread", "--threads", "64"]
            theirs = _held(environment, ["gunicorn", "--workers", "4", *threads, *preload], rounds)
            verdicts.figure(f"Gunicorn {words}", f"{theirs:.0f} MB")
            verdicts.at_most(f"Ironbridge {words} to Gunicorn", ours / theirs, _BOUND)
    return verdicts


def _held(environment: Environment, command: list[str], rounds: int) -> float:
    """Megabytes that a server's processes hold after `rounds` times all pages, each over its own connection."""
    port = free_port()
    program, *options = command
    bind = ["--bind", f"127.0.0.1:{port}", "--chdir", str(_DEMO), "demo.wsgi"]
    with ServerProcess([str(environment.bin / program), *options, *bind], port) as server:
        for page in _PAGES * rounds:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            client.request("GET", page)
            client.getresponse().read()
            client.close()
        time.sleep(1.0)  # lets allocators give back what they will
        return sum(map(proportional_set, server.pids())) / 1e6
