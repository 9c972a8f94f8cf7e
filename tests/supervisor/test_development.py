"""`--reload`, titles, the log's file: what people see of a server while they work on it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from raw_client import get
from serving import ServerProcess, run
from shop import StartShop, write
from test_supervisor import WSGI, body, version
from wsgi_site import Site, wait_until

TEMPLATE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [open("page.html", "rb").read()] if environ["PATH_INFO"] == "/page" else [READ]
READ = open("page.html", "rb").read()
"""


def test_a_change_of_code_or_templates_reloads(start: StartShop, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("one")
    site = start(TEMPLATE, "--reload")
    site.server.wait_log("watching 2 files")
    assert body(site) == b"one"
    # As editors save: another file under the same name.
    (tmp_path / "page.tmp").write_text("two")
    begun = time.monotonic()
    (tmp_path / "page.tmp").rename(tmp_path / "page.html")
    wait_until(lambda: body(site) == b"two", "it has reloaded")
    assert time.monotonic() - begun < 3.0
    site.server.wait_log("page.html has changed")
    assert "Traceback" not in site.server.log()


def test_errors_are_shown_and_the_next_change_tries_again(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--reload", "--workers=2")
    write(tmp_path, "def app(:")
    site.server.wait_log(r"SyntaxError: invalid syntax[\s\S]*the old ones go on")
    assert body(site) == b"1"
    write(tmp_path, version("3", WSGI))
    wait_until(lambda: body(site) == b"3", "it has reloaded")


def test_an_application_that_cannot_be_imported_at_first_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path, "import nowhere")
    server = ServerProcess(["--bind=127.0.0.1:0", "--reload", "--workers=2", "shop:app"], None, tmp_path)
    try:
        server.wait_log("the application does not start; waiting for a change")
        assert server.log().count("waiting for a change") == 1
        title = "ironbridge: supervisor, waiting for a change [shop:app]"
        wait_until(lambda: command_line(server.pid) == title, "it says so")
        write(tmp_path, WSGI)
        server.wait_log("listening at")
        site = Site(server)
        assert body(site) == b"1"
        site.close()
        server.stop()
    finally:
        server.kill()


def test_further_files_are_watched(start: StartShop, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.yaml").write_text("a: 1")
    site = start(WSGI, "--reload", "--reload-extra=data/**/*.yaml")
    (tmp_path / "data" / "b.yaml").write_text("b: 1")
    site.server.wait_log(r"data/b.yaml has changed[\s\S]*reloaded")


def test_reloading_contradicts_preloading(tmp_path: Path) -> None:
    told = run("--reload", "--preload", "shop:app", cwd=tmp_path)
    assert told.returncode == 2
    assert "--reload" in told.stderr
    assert "--preload" in told.stderr


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_titles_tell_role_and_state(start: StartShop) -> None:
    site = start(WSGI, "--name=shop", "--graceful-timeout=20")
    worker = site.server.workers()[0]
    assert command_line(site.server.pid) == "ironbridge: supervisor, serving [shop]"
    assert command_line(worker) == "ironbridge: worker, serving [shop]"
    connection = site.connect()
    connection.send(get("/stuck"))
    site.server.wait_log("stuck")
    site.server.signal(signal.SIGTERM)
    wait_until(lambda: command_line(worker) == "ironbridge: worker, finishing requests [shop]", "it says so")
    assert command_line(site.server.pid) == "ironbridge: supervisor, finishing requests [shop]"
    site.server.signal(signal.SIGQUIT)


def test_the_log_goes_to_a_file_that_can_be_moved_away(start: StartShop, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    write(tmp_path, WSGI)
    server = ServerProcess(["--bind=127.0.0.1:0", "--log-file=server.log", "shop:app"], None, tmp_path)
    try:
        wait_until(lambda: log.exists() and "listening at http://127.0.0.1" in log.read_text(), "it is written")
        log.rename(tmp_path / "old.log")
        server.signal(signal.SIGUSR1)
        server.signal(signal.SIGHUP)
        wait_until(lambda: log.exists() and "reloaded" in log.read_text(), "a new file is written")
        server.stop()
        assert log.read_text().endswith("stopped\n")
        assert server.log() == ""
    finally:
        server.kill()
    told = run("--log-file=nowhere/x.log", "shop:app", cwd=tmp_path)
    assert (told.returncode, "option --log-file: nowhere/x.log: No such file" in told.stderr) == (2, True)


def test_every_option_is_printed_with_the_place_that_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "ironbridge.toml").write_text("threads = 3\nbind = ['127.0.0.1:1', '127.0.0.1:2']")
    told = run("--print-config", "--workers=2", cwd=tmp_path, env={"IRONBRIDGE_BACKLOG": "7"})
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert "threads = 3  # ironbridge.toml: threads" in lines
    assert 'bind = ["127.0.0.1:1", "127.0.0.1:2"]  # ironbridge.toml: bind' in lines
    assert "workers = 2  # option --workers" in lines
    assert "backlog = 7  # environment variable IRONBRIDGE_BACKLOG" in lines
    assert "graceful-timeout = 30  # default" in lines
    assert "preload = false  # default" in lines
