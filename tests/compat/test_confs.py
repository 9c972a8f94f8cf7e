"""Configuration files in the manner of real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ironbridge._compat import config
from ironbridge._compat.check import check
from ironbridge._compat.migrate import migrate

from .expectations import CONFS, EXPECTED, STAND_INS


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch, clean: Path) -> None:
    monkeypatch.syspath_prepend(str(STAND_INS))


def test_there_are_twenty_and_each_has_its_expectation() -> None:
    assert len(EXPECTED) >= 20
    assert {path.stem for path in CONFS.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_becomes_what_is_expected(name: str) -> None:
    expected = EXPECTED[name]
    configuration = config.load(str(CONFS / f"{name}.py"), None)
    assert {given.option: given.value for given in configuration.given} == expected.options
    assert _names(configuration.warnings) == expected.warnings
    assert (configuration.hooks.names if configuration.hooks else set()) == expected.hooks
    assert configuration.environment == expected.environment
    assert (configuration.logging is not None) == expected.logging


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_can_be_checked(name: str) -> None:
    table = check(str(CONFS / f"{name}.py"))
    assert "the server would not start" not in table
    assert "bind" in table


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in 3.11")
def test_a_file_can_be_migrated(name: str) -> None:
    import tomllib

    text, report = migrate([str(CONFS / f"{name}.py")])
    options = {key.replace("-", "_"): value for key, value in tomllib.loads(text).items()}
    assert options == EXPECTED[name].options
    assert all("\n" not in line for line in report)


def _names(warnings: list[str]) -> list[str]:
    """`.../x.py, line 3: timeout: text` is about timeout."""
    return [warning.split(": ")[1] for warning in warnings]
