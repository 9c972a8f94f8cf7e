"""`ironbridge --check` loads everything and serves nothing."""

from __future__ import annotations

import socket

from .conftest import Project


def test_all_well_is_exit_0_and_one_line(hello: Project) -> None:
    done = hello.run("--check", "hello:app")
    assert (done.returncode, done.stdout) == (0, "ok: hello:app loads, and the options are valid\n")


def test_an_address_in_use_is_not_noticed(hello: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        hello.check("hello:app", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")


def test_a_bad_address_is_exit_2(hello: Project) -> None:
    assert hello.error("hello:app", "--bind", "127.0.0.1:port", code=2).startswith("ironbridge: error: ")


def test_an_access_log_that_cannot_be_written_is_exit_2(hello: Project) -> None:
    assert "nowhere/access.log" in hello.error("hello:app", "--access-log", "nowhere/access.log", code=2)


def test_a_folder_of_modules_that_does_not_exist_is_named(hello: Project) -> None:
    done = hello.run("--check", "hello:app", "--pythonpath", "nowhere")
    assert done.returncode == 0
    assert "pythonpath: nowhere does not exist" in done.stderr


def test_a_broken_application_is_exit_3(project: Project) -> None:
    project.write(hello="1 / 0").error("hello:app", code=3)
