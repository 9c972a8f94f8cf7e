"""Fixtures for tests of configurations from other servers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ironbridge._compat import config

Write = Callable[[str], str]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder to be in, no variables that mean something, and loggers as they were. It is what this gives."""
    for name in list(os.environ):
        if name not in ("PATH", "HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    _forget_loggers()
    yield tmp_path
    _forget_loggers()


def _forget_loggers() -> None:
    for name in ("gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


@pytest.fixture
def conf(clean: Path) -> Write:
    """Writes gunicorn.conf.py into the folder of the test, and returns its name."""

    def write(text: str) -> str:
        (clean / "gunicorn.conf.py").write_text(text)
        return "gunicorn.conf.py"

    return write


@pytest.fixture
def load(conf: Write) -> Callable[..., config.Configuration]:
    """Loads a file with this text, and arguments."""

    def loaded(text: str, arguments: str | None = None) -> config.Configuration:
        return config.load(conf(text), arguments)

    return loaded


@pytest.fixture
def fails(conf: Write) -> Callable[..., str]:
    """Loads a file with this text, which must fail, and returns what it says."""

    def failure(text: str, arguments: str | None = None) -> str:
        with pytest.raises(config.ConfigurationError) as error:
            config.load(conf(text), arguments)
        assert "\n" not in str(error.value)
        return str(error.value)

    return failure
