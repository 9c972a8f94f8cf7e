"""Runs Starlette's own tests through a real Ironbridge server, once for each event loop.

    python starlette_suite.py [--loop uvloop] [--server-option NAME=VALUE] [-- arguments of pytest]

The Python that runs this must have ironbridge and what tests/requirements.txt lists.
Starlette itself comes with its tests: its source distribution is downloaded and unpacked into a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
SKIPS = HERE / "starlette_skips.toml"
CONFTEST = HERE / "starlette_conftest.py"


def main() -> int:
    """Run the command line; returns the exit code."""
    with SKIPS.open("rb") as file:
        known_release = tomllib.load(file)["starlette"]
    parser = argparse.ArgumentParser(description="Run Starlette's own tests through a real Ironbridge server.")
    parser.add_argument("--release", default=known_release, help="of Starlette, or 'latest' (default: %(default)s)")
    parser.add_argument("--loop", action="append", metavar="LOOP", help="event loop (default: asyncio, then uvloop)")
    parser.add_argument(
        "--server-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of ironbridge.Server, such as asgi_spec_version=2.3 or cancel_on_disconnect=true",
    )
    parser.add_argument("--run-skipped", action="store_true", help="run the tests of starlette_skips.toml as well")
    parser.add_argument("pytest", nargs="*", metavar="ARGUMENT", help="of pytest, after --; such as -- -k websocket")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="starlette-suite-") as folder:
        sources = prepare(Path(folder), arguments.release)
        skips = [] if arguments.run_skipped else ["--skips", str(SKIPS)]
        failed = False
        for loop in arguments.loop or ["asyncio", "uvloop"]:
            options = [f"loop={loop}", *arguments.server_option]
            print(f"== {sources.name}, {' '.join(options)}", flush=True)
            failed |= run(sources, options, [*skips, *arguments.pytest]) != 0
    return int(failed)


def prepare(folder: Path, release: str) -> Path:
    """Download and unpack Starlette, and put the conftest in its place."""
    requirement = "starlette" if release == "latest" else f"starlette=={release}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-binary", "starlette", "--dest", str(folder), requirement], check=True)
    (archive,) = folder.glob("starlette-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    sources = folder / archive.name.removesuffix(".tar.gz")
    (sources / "tests/conftest.py").rename(sources / "tests/original_conftest.py")
    shutil.copyfile(CONFTEST, sources / "tests/conftest.py")
    return sources


def run(sources: Path, server_options: list[str], arguments: list[str]) -> int:
    """Run pytest in Starlette's sources; returns its exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-p", "tests.original_conftest", "tests"]
    command += [f"--server-option={option}" for option in server_options]
    # Without this, Python 3.11 parses source for each traceback, in two threads at once here, which it cannot.
    environment = {**os.environ, "PYTHONNODEBUGRANGES": "1"}
    return subprocess.run([*command, *arguments], cwd=sources, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
