"""Starlette's own tests, whose requests go through a real server (see `starlette_suite`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("starlette_suite.py")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the suite reads TOML with Python 3.11's tomllib")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [("asyncio",), ("uvloop",), ("asyncio", "cancel_on_disconnect=true")])
def test_starlettes_own_tests_pass(options: tuple[str, ...]) -> None:
    loop, *others = options
    command = [sys.executable, str(SUITE), "--loop", loop]
    for option in others:
        command += ["--server-option", option, "--run-skipped", "--", "-k", "closing_unfinished_response"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert " passed" in done.stdout
