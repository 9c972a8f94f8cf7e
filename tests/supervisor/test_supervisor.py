"""The supervisor: workers that die, reloads that work and reloads that do not, and the end, under load."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from load import Load
from raw_client import Address, fetch, get
from serving import ServerProcess, environment, run
from shop import StartShop, write
from wsgi_site import Site, parse_address, wait_until

WSGI = """
import os, sys, time
VERSION = "1"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/pid":
        start_response("200 OK", [("Content-Length", str(len(str(os.getpid()))))])
        return [str(os.getpid()).encode()]
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.05)
    if environ["PATH_INFO"] == "/stuck":
        print("stuck", file=sys.stderr, flush=True)
        time.sleep(60)
    return [VERSION.encode(), b"" if environ["PATH_INFO"] == "/" else b" streamed"]
"""

ASGI = """
import asyncio, os
VERSION = "1"
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        return
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/slow":
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": VERSION.encode(), "more_body": scope["path"] != "/"})
    if scope["path"] != "/":
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b" streamed"})
"""

CODE = {"wsgi": WSGI, "asgi": ASGI}
TARGETS = {"wsgi": ["/", "/slow", "/streamed"], "asgi": ["/", "/slow", "/streamed", "ws:/echo"]}
KINDS = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


def version(text: str, code: str) -> str:
    return code.replace('VERSION = "1"', f'VERSION = "{text}"')


def body(site: Site, target: str = "/") -> bytes:
    response = site.fetch(get(target))
    assert response.status == 200
    return response.body


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def versions(load: Load) -> set[bytes]:
    """The versions that answered."""
    return {body.split()[0] for target, body in load.answers if not target.startswith("ws:")}


@KINDS
def test_ten_reloads_under_load_lose_nothing(start: StartShop, tmp_path: Path, kind: str) -> None:
    code = CODE[kind]
    site = start(code, "--workers=2")
    with Load(site.address, TARGETS[kind]) as load:
        for number in range(2, 12):
            before = site.server.log().count("reloaded: 2 new workers")
            write(tmp_path, version(str(number), code))
            site.server.signal(signal.SIGHUP)
            site.server.wait_log(rf"(?:reloaded: 2 new workers[\s\S]*){{{before + 1}}}")
            wait_until(lambda number=number: body(site) == str(number).encode(), "the old workers accept no more")
    assert not load.failures
    assert len(versions(load)) > 5
    wait_until(lambda: len(site.server.workers()) == 2, "the old workers have ended")


@KINDS
def test_a_rolling_reload_replaces_one_after_the_other(start: StartShop, tmp_path: Path, kind: str) -> None:
    site = start(CODE[kind], "--workers=3", "--reload-strategy=rolling")
    old = set(site.server.workers())
    with Load(site.address, TARGETS[kind], clients=16) as load:
        write(tmp_path, version("2", CODE[kind]))
        site.server.signal(signal.SIGHUP)
        most = 0
        while "reloaded" not in site.server.log():
            most = max(most, sum(map(alive, site.server.workers())))
            assert load.total >= 0
        # One starts while three serve, and the one that it replaces may still drain when the next one starts.
        assert most <= 6
    assert not load.failures
    wait_until(lambda: not old & set(site.server.workers()), "the old workers have ended")
    assert body(site) == b"2"


@KINDS
def test_more_and_fewer_workers_under_load_lose_nothing(start: StartShop, kind: str) -> None:
    site = start(CODE[kind])
    with Load(site.address, TARGETS[kind], clients=32) as load:
        for number, wanted in [(signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)]:
            site.server.signal(number)
            site.server.wait_log(f"{wanted} workers? from now on")
            wait_until(lambda wanted=wanted: len(site.server.workers()) == wanted, f"{wanted} workers")
        site.server.signal(signal.SIGTTOU)
        site.server.wait_log("1 worker from now on[\\s\\S]*1 worker from now on")
        assert len(site.server.workers()) == 1
    assert not load.failures


@KINDS
def test_a_killed_worker_is_replaced_and_loses_only_its_own_requests(start: StartShop, kind: str) -> None:
    site = start(CODE[kind], "--workers=2", "--threads=8")
    with Load(site.address, TARGETS[kind], clients=32) as load:
        victim = site.server.workers()[0]
        begun = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        site.server.wait_log(f"worker {victim} ended with SIGKILL: somebody killed it; starting another$")
        wait_until(lambda: len(site.server.workers()) == 2, "there are two again")
        assert time.monotonic() - begun < 1.0
        time.sleep(0.5)
    # A client that was connected to it lost its request; nobody lost two.
    assert sum(load.failures.values()) <= 32
    assert all("Reset" in failure or "IncompleteRead" in failure for failure in load.failures), load.failures


def test_the_cause_of_a_death_is_said(start: StartShop) -> None:
    site = start(WSGI)
    os.kill(site.server.workers()[0], signal.SIGSEGV)
    site.server.wait_log(
        r"ended with SIGSEGV: native code crashed \(PYTHONFAULTHANDLER=1 shows where\); starting another$"
    )
    wait_until(lambda: body(site) == b"1", "another one serves")


def test_workers_that_die_young_again_and_again_are_started_later_and_later(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, code_at_end=None)
    write(tmp_path, "import os\nos._exit(7)")
    os.kill(site.server.workers()[0], signal.SIGKILL)
    site.server.wait_log(r"ended with exit code 7; starting another in 250ms[\s\S]*in 500ms[\s\S]*in 1s")
    # It heals by itself once the code does.
    write(tmp_path, version("2", WSGI))
    connection = site.connect()
    connection.send(get("/"))
    assert connection.response().body == b"2"


def test_an_application_that_cannot_be_imported_ends_the_first_start(tmp_path: Path) -> None:
    write(tmp_path, "import time\nraise ZeroDivisionError('at import')")
    done = run("shop:app", "--bind=127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("ZeroDivisionError: at import") == 1
    assert "the first worker did not start: giving up" in done.stderr


def test_an_application_that_crashes_at_import_ends_the_first_start(tmp_path: Path) -> None:
    write(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    done = run("shop:app", "--workers=2", "--bind=127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGSEGV
    assert "the first worker did not start: it ended with SIGSEGV: native code crashed" in done.stderr


HANGING_LIFESPAN = ASGI.replace("event = await receive()", "await asyncio.sleep(3600)")
FAILING_LIFESPAN = ASGI.replace(
    "event = await receive()", "await send({'type': 'lifespan.startup.failed', 'message': 'no database'})"
)
BROKEN = {
    "syntax error": ("def app(:", "ended with exit code 3; the old ones go on", "SyntaxError"),
    "crash": ("import os, signal\nos.kill(os.getpid(), 11)", "ended with SIGSEGV; the old ones go on", ""),
    "lifespan fails": (FAILING_LIFESPAN, "ended with exit code 3; the old ones go on", "no database"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reload_that_fails_leaves_the_old_workers_alone(start: StartShop, tmp_path: Path, name: str) -> None:
    code, said, log = BROKEN[name]
    site = start(ASGI, "--workers=2")
    old = site.server.workers()
    with Load(site.address, TARGETS["asgi"], clients=8) as load:
        write(tmp_path, code)
        site.server.signal(signal.SIGHUP)
        site.server.wait_log(f"the reload has failed: a new worker {said}")
        wait_until(lambda: site.server.workers() == old, "only the old ones are left")
        assert log in site.server.log()
        write(tmp_path, version("2", ASGI))
        site.server.signal(signal.SIGHUP)
        site.server.wait_log("reloaded: 2 new workers")
        wait_until(lambda: body(site) == b"2", "the new code serves")
    assert not load.failures
    assert versions(load) >= {b"1"}


@pytest.mark.parametrize("code", [HANGING_LIFESPAN, "import time\ntime.sleep(3600)"], ids=["lifespan", "import"])
def test_a_reload_that_hangs_leaves_the_old_workers_alone(start: StartShop, tmp_path: Path, code: str) -> None:
    site = start(ASGI, "--workers=2")
    old = site.server.workers()
    with Load(site.address, TARGETS["asgi"], clients=8) as load:
        write(tmp_path, code)
        site.server.signal(signal.SIGHUP)
        wait_until(lambda: len(site.server.workers()) == 4, "new ones start")
        time.sleep(1.0)
        assert set(old) < set(site.server.workers())
        # Another reload takes its place.
        write(tmp_path, version("2", ASGI))
        site.server.signal(signal.SIGHUP)
        site.server.wait_log("reloaded: 2 new workers")
        wait_until(lambda: body(site) == b"2", "the new code serves")
        wait_until(lambda: len(site.server.workers()) == 2, "all others have ended")
    assert not load.failures


def test_a_reload_reads_the_options_again(start: StartShop, tmp_path: Path) -> None:
    (tmp_path / "ironbridge.toml").write_text("workers = 1\nno-date-header = false\n")
    site = start(WSGI)
    assert site.fetch(get("/")).header("Date") is not None
    (tmp_path / "ironbridge.toml").write_text("workers = 2\nno-date-header = true\n")
    site.server.signal(signal.SIGHUP)
    site.server.wait_log("reloaded: 2 new workers")
    wait_until(lambda: site.fetch(get("/")).header("Date") is None, "the new option holds")
    wait_until(lambda: len(site.server.workers()) == 2, "two workers")
    (tmp_path / "ironbridge.toml").write_text("workers = 'many'\n")
    site.server.signal(signal.SIGHUP)
    site.server.wait_log(
        'the reload has failed: .*ironbridge.toml: workers: invalid value "many".*; the old workers go on'
    )
    assert site.fetch(get("/")).header("Date") is None


def test_a_reload_follows_a_link_to_the_newest_release(tmp_path: Path) -> None:
    for number in "12":
        (tmp_path / number).mkdir()
        write(tmp_path / number, version(number, WSGI))
    current = tmp_path / "current"
    current.symlink_to("1")
    with ServerProcess.start("shop:app", cwd=current, env={"PWD": str(current)}) as server:
        site = Site(server)
        assert body(site) == b"1"
        current.unlink()
        current.symlink_to("2")
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded")
        wait_until(lambda: body(site) == b"2", "the new release serves")


def refuses(address: Address) -> bool:
    try:
        socket.create_connection(address, timeout=5.0).close()  # type: ignore[arg-type]
    except OSError:
        return True
    return False


@KINDS
def test_sigterm_under_load_answers_whatever_was_read(start: StartShop, kind: str) -> None:
    site = start(CODE[kind], "--workers=2")
    load = Load(site.address, TARGETS[kind], clients=64)
    with load:
        begun = time.monotonic()
        site.server.signal(signal.SIGTERM)
        assert site.server.wait(15.0) == 0
        assert time.monotonic() - begun < 5.0
    # Nobody listens any more; but nothing that a connection was accepted for is lost.
    assert all("ConnectionRefused" in failure for failure in load.failures), load.failures


def test_workers_without_a_supervisor_drain_and_free_the_port(start: StartShop) -> None:
    site = start(WSGI, "--workers=2", code_at_end=-signal.SIGKILL)
    workers = site.server.workers()
    connection = site.connect()
    connection.send(get("/slow"))
    site.server.signal(signal.SIGKILL)
    assert connection.response().status == 200
    wait_until(lambda: not any(map(alive, workers)), "the workers have ended")
    site.server.wait_log("the supervisor has gone: finishing requests in flight")
    assert refuses(site.address)


def test_interrupting_twice_ends_workers_that_are_busy(start: StartShop) -> None:
    site = start(WSGI, "--workers=2")
    connection = site.connect()
    connection.send(get("/stuck"))
    site.server.wait_log("stuck")
    workers = site.server.workers()
    # As a terminal does it: to all processes.
    os.killpg(site.server.pid, signal.SIGINT)
    site.server.wait_log("press Ctrl-C again")
    begun = time.monotonic()
    os.killpg(site.server.pid, signal.SIGINT)
    assert site.server.wait(15.0) == 0
    assert time.monotonic() - begun < 8.0
    assert not any(map(alive, workers))


def test_log_files_are_opened_again(start: StartShop, tmp_path: Path) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    site = start(WSGI, "--workers=2", f"--access-log={log}")
    assert body(site) == b"1"
    wait_until(lambda: log.stat().st_size > 0, "it is written")
    log.rename(old)
    site.server.signal(signal.SIGUSR1)

    def written() -> bool:
        body(site)
        return log.exists() and log.stat().st_size > 0

    wait_until(written, "the new file is written")


def test_a_unix_socket_outlives_reloads_and_is_removed_at_the_end(start: StartShop, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    site = start(WSGI, "--workers=2", f"--bind=unix:{path}")
    inode = path.stat().st_ino
    site.server.signal(signal.SIGHUP)
    site.server.wait_log("reloaded")
    wait_until(lambda: len(site.server.workers()) == 2, "the old workers have ended")
    assert path.stat().st_ino == inode
    assert body(site) == b"1"
    site.server.stop()
    assert not path.exists()


def test_the_platform_says_how_many_workers_there_are(start: StartShop) -> None:
    site = start(WSGI, WEB_CONCURRENCY="3")
    site.server.wait_log("with 3 workers")
    assert len(site.server.workers()) == 3


def test_preloaded_code_is_imported_once(start: StartShop) -> None:
    code = "import os, sys, threading\nprint('imported by', os.getpid(), file=sys.stderr)\n" + WSGI
    site = start(code, "--workers=3", "--preload")
    assert re.findall(r"imported by (\d+)", site.server.log()) == [str(site.server.pid)]
    assert int(body(site, "/pid")) in site.server.workers()
    victim = site.server.workers()[0]
    begun = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(site.server.workers()) == 3 and victim not in site.server.workers(), "it is replaced")
    assert time.monotonic() - begun < 0.3
    assert site.server.log().count("imported by") == 1


def test_threads_of_a_preloaded_application_are_warned_of(start: StartShop) -> None:
    code = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n" + WSGI
    site = start(code, "--preload")
    site.server.wait_log("WARN .*--preload: importing shop:app has started a thread; it does not exist in workers")
    assert body(site) == b"1"


def test_without_a_supervisor_there_is_one_process(start: StartShop) -> None:
    site = start(WSGI, "--no-supervisor")
    assert int(body(site, "/pid")) == site.server.pid
    assert site.server.workers() == []


PROGRAM = """
import os, sys
import ironbridge

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

print("before", os.getpid())
ironbridge.serve(app, bind="127.0.0.1:0", workers=2)
print("after", os.getpid())
"""


def test_serve_has_workers_of_a_callable_and_returns_in_the_caller_only(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    pipe = subprocess.PIPE
    command = [sys.executable, "program.py"]
    program = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe, text=True)
    assert program.stderr is not None
    line = program.stderr.readline()
    address = parse_address(line.split()[-1])
    pids = {int(fetch(address, get("/")).body) for _ in range(10)}
    assert program.pid not in pids
    program.send_signal(signal.SIGTERM)
    output, log = program.communicate(timeout=40)
    assert (program.returncode, output) == (0, f"before {program.pid}\nafter {program.pid}\n"), log


def test_serve_outside_the_main_thread_has_no_workers_to_offer(tmp_path: Path) -> None:
    code = (
        "import threading, ironbridge\n"
        "def serve():\n"
        "    try:\n"
        "        ironbridge.serve('shop:app', bind='127.0.0.1:0', workers=2)\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
        "thread = threading.Thread(target=serve)\nthread.start()\nthread.join()\n"
    )
    write(tmp_path, WSGI)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=40
    )
    assert (done.returncode, done.stdout) == (0, "workers can only be supervised from the main thread\n"), done.stderr


def test_a_server_object_refuses_workers(tmp_path: Path) -> None:
    code = "import ironbridge\nironbridge.Server('shop:app', workers=2)"
    write(tmp_path, WSGI)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=40
    )
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: a Server is one process: use serve() for more than one worker\n")
