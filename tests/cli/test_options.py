"""Options from the command line, the environment and files, and mistakes in them."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ServerProcess

from ironbridge import Server, __version__, serve

from .conftest import Project

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], 'option --threads: invalid value "0": expected a whole number from 1 to 4096'),
        (["--thread", "3"], "option --thread: unknown option; did you mean --threads?"),
        (["--log-level", "loud"], 'option --log-level: invalid value "loud": expected one of '),
        (["--chdir", "nowhere"], "option --chdir: nowhere: No such file or directory"),
        (["--config", "nowhere.toml"], "nowhere.toml: No such file or directory"),
        (["--bind", "localhost:99999"], "99999"),
        (["other:app"], "argument other:app: only one application can be served"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_2(
    hello: Project, arguments: list[str], message: str
) -> None:
    error = hello.error("hello:app", *arguments, code=2)
    assert error.startswith("ironbridge: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_mistake_in_a_variable_names_the_variable(hello: Project) -> None:
    error = hello.error("hello:app", code=2, env={"IRONBRIDGE_THREADS": "many"})
    assert error.startswith('ironbridge: error: environment variable IRONBRIDGE_THREADS: invalid value "many"')


def test_a_mistake_in_a_file_names_file_and_key(hello: Project) -> None:
    hello.file("ironbridge.toml", "thread = 4\n")
    assert hello.error("hello:app", code=2) == (
        "ironbridge: error: ironbridge.toml: thread: unknown option; did you mean threads?\n"
    )


def test_an_unknown_variable_is_a_warning_only(hello: Project) -> None:
    log = hello.check("hello:app", env={"IRONBRIDGE_THREAD": "4"})
    assert "WARN  environment variable IRONBRIDGE_THREAD: no such option, ignored; did you mean" in log


def test_the_application_may_be_named_in_a_file(hello: Project) -> None:
    hello.file("pyproject.toml", '[tool.ironbridge]\napp = "hello:app"\n')
    assert "ok: hello:app loads" in hello.check()


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(hello: Project) -> None:
    hello.file("ironbridge.toml", 'app = "nowhere1"\n').write(other=(hello.path / "hello.py").read_text())
    environment = {"IRONBRIDGE_APP": "other:app"}
    assert "ok: other:app" in hello.check(env=environment)
    assert "ok: hello:app" in hello.check("hello:app", env=environment)


def test_a_named_file_replaces_the_usual_one(hello: Project) -> None:
    hello.file("ironbridge.toml", "threads = 'broken'").file("deploy/site.toml", "app = 'hello:app'")
    assert "ok: hello:app" in hello.check("--config", "deploy/site.toml")


def test_help_lists_the_options_but_not_the_maintainers_ones(hello: Project) -> None:
    done = hello.run("--help")
    assert done.returncode == 0
    assert "--graceful-timeout <SECONDS>" in done.stdout
    assert "--bind <ADDRESS>" in done.stdout
    assert "--generate" not in done.stdout


def test_version_is_the_packages(hello: Project) -> None:
    assert hello.run("--version").stdout == f"ironbridge {__version__}\n"


@pytest.mark.parametrize(("what", "file"), [("docs", "docs/options.md"), ("types", "python/ironbridge/options.py")])
def test_generated_files_are_up_to_date(project: Project, what: str, file: str) -> None:
    assert project.run("--generate", what).stdout == (ROOT / file).read_text(), f"--generate {what} > {file}"


def test_native_functions_are_documented() -> None:
    assert "Args:" in (inspect.getdoc(serve) or "")
    assert "Example:" in (inspect.getdoc(Server) or "")
    for name, member in vars(Server).items():
        assert name.startswith("__") or inspect.getdoc(member), name


def test_the_stub_describes_the_binary() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "ironbridge._native"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def test_json_logs_are_one_object_a_line(hello: Project) -> None:
    with ServerProcess.start("hello:app", "--log-format=json", cwd=hello.path) as server:
        assert server.url
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert lines[0]["level"] == "INFO"
    assert lines[0]["message"].startswith("listening at http://127.0.0.1:")
    assert lines[-1]["message"] == "stopped"


def test_less_important_messages_are_hidden_on_request(hello: Project) -> None:
    log = hello.check("hello:app", "--log-level", "error", env={"IRONBRIDGE_NOTHING": "4"})
    assert "WARN" not in log
