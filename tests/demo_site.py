"""The demo site on the installed server, as the browser and the curl tests use it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import ServerProcess, environment

DEMO_FOLDER = Path(__file__).parent / "sites" / "demo"
UPLOAD_BYTES = 20 << 20


@contextmanager
def running_demo(var: Path) -> Iterator[ServerProcess]:
    """Makes the demo's database in the folder `var`, and serves the demo until the block ends."""
    env = {"DEMO_VAR": str(var)}
    setup = [sys.executable, "-m", "demo.setup"]
    subprocess.run(setup, cwd=DEMO_FOLDER, env=environment(env), check=True, timeout=60)
    with ServerProcess.start("demo.wsgi", cwd=DEMO_FOLDER, env=env) as server:
        yield server


def big_file(folder: Path) -> Path:
    """A file of 20 MB without a pattern, so that no lost or repeated block goes unseen."""
    path = folder / "holiday photos.bin"
    path.write_bytes(random.Random(20).randbytes(UPLOAD_BYTES))
    return path
