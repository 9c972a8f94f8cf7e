"""The configuration files again, by the whole server: `ironbridge -c FILE`."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw_client import get
from serving import ServerProcess, run
from wsgi_site import Site, wait_until

from .expectations import CONFS, EXPECTED, STAND_INS

SITE = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.6)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", os.environ.get("APP_WORKER_ID", "-"))])
    return [os.environ.get("SPAM", "served").encode()]
async def api(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"served"})
"""


class Serve:
    """Serves a file of `confs/`, or one whose text is given."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        (folder / "site_app.py").write_text(SITE)

    def __call__(self, conf: Path | str, *options: str, app: str = "site_app:application", **settings: str) -> Site:
        if isinstance(conf, str):
            (self.folder / "gunicorn.conf.py").write_text(conf)
            conf = self.folder / "gunicorn.conf.py"
        folders = os.pathsep.join([str(self.folder), str(STAND_INS)])
        environment = {
            "PYTHONPATH": folders,
            "SITE_RUN_DIR": str(self.folder),
            "READY_FILE": str(self.folder / "ready"),
            **settings,
        }
        server = ServerProcess.start(app, f"--config={conf}", *options, cwd=self.folder, env=environment)
        self._stack.callback(server.stop)
        site = Site(server)
        self._stack.callback(site.close)
        return site


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield Serve(stack, tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_served_unchanged(serve: Serve, name: str) -> None:
    expected = EXPECTED[name]
    app = "site_app:api" if expected.options.get("interface") == "asgi" else "site_app:application"
    site = serve(CONFS / f"{name}.py", "--bind=127.0.0.1:0", "--access-log=access.log", "--log-level=info", app=app)
    response = site.fetch(get("/a?b=c"))
    assert (response.status, response.body) == (200, b"eggs=ham" if expected.environment else b"served")
    workers = expected.options.get("workers", 1)
    assert len(site.server.workers()) == workers
    log = site.server.log()
    assert "Traceback" not in log
    for warning in expected.warnings:
        assert re.search(rf"WARN .*{name}\.py.*: {warning}: ", log), warning
    access_log = next(serve.folder.glob("access.log"), CONFS / "access.log")
    try:
        wait_until(lambda: "/a" in access_log.read_text(), "the request is logged")
    finally:
        (CONFS / "access.log").unlink(missing_ok=True)
    if not expected.options.get("preload") and expected.options.get("interface") != "asgi":
        site.server.signal(signal.SIGHUP)
        site.server.wait_log("reloaded: ")
    site.server.stop()


def test_hooks_see_the_life_of_the_server(serve: Serve) -> None:
    site = serve(CONFS / "worker_ids.py", "--bind=127.0.0.1:0", "--workers=2")
    ids = {site.fetch(get("/")).header("X-Worker") for _ in range(20)}
    assert ids <= {"1", "2"}
    worker = site.server.workers()[0]
    os.kill(worker, signal.SIGKILL)
    site.server.wait_log(rf"worker \d \(pid {worker}\) is gone")
    site.server.signal(signal.SIGTTIN)
    site.server.wait_log("3 workers instead of 2")
    wait_until(lambda: len(site.server.workers()) == 3, "three workers")
    site.server.signal(signal.SIGHUP)
    site.server.wait_log(r"reload with 2 workers: \[\d+, \d+, \d+\]")
    site.server.wait_log("2 workers instead of 3")
    site.server.wait_log("reloaded: ")


def test_hooks_around_requests_and_at_the_ends(serve: Serve) -> None:
    site = serve(CONFS / "request_timing.py", "--bind=127.0.0.1:0")
    assert site.fetch(get("/slow")).status == 200
    site.server.wait_log(r"slow: GET /slow: 200 OK in 0\.\d+ s, 6 bytes")
    site = serve(CONFS / "scheduler.py", "--bind=127.0.0.1:0")
    site.server.stop()
    assert "scheduler stopped" in site.server.log()
    site = serve(CONFS / "thread_dump.py", "--bind=127.0.0.1:0")
    site.server.signal(signal.SIGQUIT)
    site.server.wait()
    assert "worker received INT or QUIT signal" in site.server.log()


def test_the_access_log_has_the_files_format(serve: Serve) -> None:
    site = serve(CONFS / "json_access_log.py", "--bind=127.0.0.1:0", "--access-log=access.log")
    site.fetch(get("/a?b=c", ("X-Request-Id", "7")))
    log = serve.folder / "access.log"
    wait_until(lambda: bool(log.read_text()), "a line")
    pattern = (
        r'\{"remote_ip": "127.0.0.1", "request_id": "7", "response_code": "200", "request_method": "GET", '
        r'"request_path": "/a", "request_querystring": "b=c", "request_timetaken": "\d+", "response_length": "6", '
        r'"content_type": "text/plain"\}\n'
    )
    assert re.fullmatch(pattern, log.read_text())


def test_higher_sources_win_over_the_file_and_a_reload_reads_it_again(serve: Serve) -> None:
    site = serve(
        "workers = 3\nthreads = 2\nkeepalive = 5\n",
        "--bind=127.0.0.1:0",
        "--workers=1",
        GUNICORN_CMD_ARGS="--threads 4 --keep-alive 6",
        IRONBRIDGE_KEEP_ALIVE="7",
    )
    assert len(site.server.workers()) == 1
    told = run(
        "--print-config",
        "--config=gunicorn.conf.py",
        cwd=serve.folder,
        env={"GUNICORN_CMD_ARGS": "--threads 4 --keep-alive 6", "IRONBRIDGE_KEEP_ALIVE": "7"},
    )
    lines = told.stdout.splitlines()
    assert "workers = 3  # gunicorn.conf.py: workers" in lines
    assert "threads = 4  # GUNICORN_CMD_ARGS: --threads" in lines
    assert "keep-alive = 7  # environment variable IRONBRIDGE_KEEP_ALIVE" in lines
    (serve.folder / "gunicorn.conf.py").write_text("workers = [")
    site.server.signal(signal.SIGHUP)
    site.server.wait_log(r"the reload has failed: .*gunicorn.conf.py.*; the old workers go on")
    assert site.fetch(get("/")).status == 200


def test_mistakes_and_hooks_that_fail_end_the_start(tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(SITE)
    table = [
        ("workers = 'many'", 2, "gunicorn.conf.py, line 1: workers: invalid value 'many'"),
        ("certfile = 'x.pem'", 2, "refused"),
        ("raise RuntimeError('no')", 2, "RuntimeError: no"),
        ("def on_starting(server): raise RuntimeError('early')", 3, "RuntimeError: early"),
        ("def post_fork(server, worker): raise RuntimeError('late')", 3, "RuntimeError: late"),
    ]
    for text, code, message in table:
        (tmp_path / "gunicorn.conf.py").write_text(text)
        told = run("--config=gunicorn.conf.py", "--bind=127.0.0.1:0", "site_app:application", cwd=tmp_path)
        assert told.returncode == code, told.stderr
        assert message in told.stderr


def test_files_are_checked_and_migrated(tmp_path: Path) -> None:
    told = run("check", str(CONFS / "gevent_workers.py"), cwd=tmp_path)
    assert told.returncode == 0
    assert "worker_class" in told.stdout
    (tmp_path / "bad.py").write_text("certfile = 'x'")
    told = run("check", "bad.py", cwd=tmp_path)
    assert (told.returncode, "TLS" in told.stdout) == (1, True)
    assert run("check", cwd=tmp_path).returncode == 2
    told = run("migrate", "gunicorn", "-w", "4", "-b", "0.0.0.0:80", "shop.wsgi", cwd=tmp_path)
    assert told.returncode == 0
    (tmp_path / "ironbridge.toml").write_text(told.stdout)
    lines = run("--print-config", cwd=tmp_path).stdout.splitlines()
    assert "workers = 4  # ironbridge.toml: workers" in lines
    assert 'bind = ["0.0.0.0:80"]  # ironbridge.toml: bind' in lines
    assert run("migrate", "nonsense", cwd=tmp_path).returncode == 2
