"""logconfig, logconfig_dict, logconfig_json and capture_output, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ironbridge._compat import config
from ironbridge._compat.log_configuration import LogConfiguration

APPLY = """
import logging, sys
from ironbridge._compat import config
found = config.load("gunicorn.conf.py", None)
found.logging.apply()
logging.getLogger("gunicorn.error").info("of the server")
logging.getLogger("shop").warning("of the application")
print("printed", flush=True)
"""


def apply(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "gunicorn.conf.py").write_text(text)
    done = subprocess.run([sys.executable, "-c", APPLY], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done


def test_a_dictionary_is_merged_over_gunicorns(tmp_path: Path) -> None:
    done = apply(tmp_path, "logconfig_dict = {'root': {'level': 'ERROR', 'handlers': ['console']}}")
    assert "[INFO] of the server" in done.stderr
    assert "of the application" not in done.stdout


def test_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(json.dumps({"root": {"level": "WARNING", "handlers": ["error_console"]}}))
    assert "[WARNING] of the application" in apply(tmp_path, "logconfig_json = 'log.json'").stderr


def test_an_ini_file(tmp_path: Path) -> None:
    (tmp_path / "log.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=out\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=INFO\nhandlers=out\n[handler_out]\nclass=StreamHandler\nargs=(sys.stdout,)\n"
    )
    assert "of the application" in apply(tmp_path, "logconfig = 'log.ini'").stdout


def test_captured_output_goes_to_the_log_file(tmp_path: Path) -> None:
    done = apply(tmp_path, "capture_output = True\nerrorlog = 'error.log'")
    assert done.stdout == ""
    assert "printed" in (tmp_path / "error.log").read_text()


def test_nothing_is_captured_where_the_log_goes_to_the_terminal(clean: Path) -> None:
    (clean / "gunicorn.conf.py").write_text("capture_output = True")
    configuration = config.load("gunicorn.conf.py", None)
    assert configuration.logging is None
    assert configuration.warnings == []


@pytest.mark.parametrize(
    "found",
    [
        LogConfiguration({"handlers": {}}, None, None, None, "gunicorn.conf.py, line 3: logconfig_dict"),
        LogConfiguration(None, None, "nowhere.ini", None, "gunicorn.conf.py, line 3: logconfig"),
    ],
)
def test_what_is_no_configuration_is_an_error(found: LogConfiguration, clean: Path) -> None:
    with pytest.raises(config.ConfigurationError, match=r"gunicorn.conf.py, line 3: logconfig"):
        found.apply()
