"""Fixtures for tests of the command line: a folder to write a project into, and the command run in it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from serving import run

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""
"""The smallest application, as a module's source."""


class Project:
    """A folder with Python files, and `ironbridge` run in it.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: str) -> Project:
        """Writes modules: `wsgi="..."` is wsgi.py, `shop__settings="..."` is shop/settings.py."""
        for name, text in files.items():
            self.file(name.replace("__", "/") + ".py", text)
        return self

    def file(self, name: str, text: str = "") -> Project:
        """Writes any file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def package(self, name: str, **files: str) -> Project:
        """Writes a package with modules."""
        self.file(f"{name}/__init__.py")
        for module, text in files.items():
            self.file(f"{name}/{module}.py", text)
        return self

    def run(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `ironbridge ARGUMENTS` to its end."""
        return run(*arguments, env=env, cwd=self.path)

    def check(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> str:
        """Runs `ironbridge --check ARGUMENTS`, which must succeed; returns what it prints and logs."""
        done = self.run("--check", *arguments, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def error(self, *arguments: str, code: int, env: Mapping[str, str | None] | None = None) -> str:
        """Runs `ironbridge --check ARGUMENTS`, which must end with `code`; returns what it says on stderr."""
        done = self.run("--check", *arguments, env=env)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert not done.stdout
        return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture
def hello(project: Project) -> Project:
    """A project with hello.py, whose `app` serves."""
    return project.write(hello=WSGI)
