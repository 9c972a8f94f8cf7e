"""CPython's own tests of asyncio, as far as they make event loops, on the server's (see `cpython_asyncio`)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).with_name("cpython_asyncio.py")
MODULES = (
    *("test_buffered_proto", "test_context", "test_events", "test_free_threading", "test_futures2", "test_locks"),
    *("test_queues", "test_sendfile", "test_server", "test_sock_lowlevel", "test_ssl", "test_sslproto"),
    *("test_staggered", "test_streams", "test_subprocess", "test_taskgroups", "test_tasks", "test_threads"),
    *("test_timeouts", "test_unix_events", "test_waitfor"),
)
HAS_TESTS = importlib.util.find_spec("test") is not None and importlib.util.find_spec("test.test_asyncio") is not None
# Before Python 3.11 the tests of queues made loops that only pretend.
PRETENDING = {"test_queues"} if sys.version_info < (3, 11) else set()
FOUND = [
    name
    for name in MODULES
    if HAS_TESTS and name not in PRETENDING and importlib.util.find_spec(f"test.test_asyncio.{name}")
]


@pytest.mark.skipif(not HAS_TESTS, reason="this Python comes without its own tests")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FOUND or ["none"])
def test_asyncio_behaves_as_on_its_own_loop(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUNNER), name], capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-20_000:]}"
