"""The virtual environment that all servers and applications are installed into."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benches" / "out"
APPS = ROOT / "benches" / "apps"

# Where the applications of the rows are found.
IMPORT_PATH = (APPS, ROOT / "tests" / "sites" / "flask_site", ROOT / "tests" / "sites" / "bench_django")

_HOME = ROOT / ".venvs" / "bench"
_RIVALS = (
    *("granian", "gunicorn", "waitress", "uWSGI", "bjoern", "fastpysgi", "freastal"),
    *("uvicorn", "uvloop", "httptools", "websockets", "wsproto", "hypercorn", "daphne"),
)
_FRAMEWORKS = ("Flask", "Django", "FastAPI")


@dataclass
class Environment:
    """An installed environment.

    Attributes:
        versions: Version by lower-case package name.
        missing: Why a package could not be installed, by lower-case name.
    """

    versions: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        """The folder with the interpreter and the console scripts."""
        return _HOME / "bin"

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.bin / "python")


def prepare(wheel: Path | None) -> Environment:
    """Makes the environment or completes it.

    Args:
        wheel: Ironbridge's wheel, installed anew if given.
    """
    if not (_HOME / "bin" / "python").exists():
        venv.create(_HOME, with_pip=True)
    environment = Environment(_versions())
    for package in (*_FRAMEWORKS, *_RIVALS):
        if package.lower() not in environment.versions:
            _install(package, environment)
    if wheel is not None:
        _pip("install", "--quiet", "--force-reinstall", "--no-deps", str(wheel))
    environment.versions = _versions()
    if "ironbridge" not in environment.versions:
        environment.missing["ironbridge"] = "no wheel given (--wheel) and none installed"
    return environment


def _install(package: str, environment: Environment) -> None:
    print(f"installing {package}", file=sys.stderr)
    try:
        _pip("install", "--quiet", package)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        # Build failures bury their cause; the last line that names an error is the best guess.
        telling = [line for line in lines if "error" in line.lower()] or lines or ["pip failed"]
        environment.missing[package.lower()] = telling[-1].strip()[:200]


def _versions() -> dict[str, str]:
    listed = json.loads(_pip("list", "--format", "json"))
    return {package["name"].lower(): package["version"] for package in listed}


def _pip(*args: str) -> str:
    command = [str(_HOME / "bin" / "python"), "-m", "pip", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
