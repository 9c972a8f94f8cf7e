"""Commands for a server that runs: `ironbridge reload` and its like."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from load import Load
from raw_client import get
from serving import ServerProcess, run
from shop import StartShop, write
from test_supervisor import CODE, KINDS, TARGETS, WSGI, alive, body, version
from wsgi_site import Site, wait_until


def control(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(*words, "--control-socket=control", cwd=folder)


def test_a_server_is_asked_how_it_is(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--workers=2", "--control-socket=control")
    told = control(tmp_path, "status")
    assert told.returncode == 0
    assert f"is serving, process {site.server.pid}, for 0 s\nlistening at {site.server.url}\n" in told.stdout
    status = json.loads(control(tmp_path, "status", "json").stdout)
    assert [worker["pid"] for worker in status["workers"]] == site.server.workers()
    assert {worker["state"] for worker in status["workers"]} == {"serving"}
    assert all(worker["memory"] > 5_000_000 for worker in status["workers"])
    assert (status["wanted"], status["generation"], status["state"]) == (2, 1, "serving")


def test_a_reload_says_when_it_is_done_or_why_not(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--control-socket=control")
    write(tmp_path, version("2", WSGI))
    told = control(tmp_path, "reload")
    assert (told.returncode, told.stdout) == (0, "reloaded: serving\n")
    wait_until(lambda: body(site) == b"2", "the old worker accepts no more")
    write(tmp_path, "def app(:")
    told = control(tmp_path, "reload")
    assert told.returncode == 1
    reason = "the reload has failed: a new worker ended with exit code 3; the old workers go on"
    assert told.stderr == f"ironbridge: error: {reason}\n"
    (tmp_path / "ironbridge.toml").write_text("threads = 0")
    told = run("reload", "--control-socket=control", "--config=/dev/null", cwd=tmp_path)
    assert told.returncode == 1
    assert "ironbridge.toml: threads: invalid value" in told.stderr
    assert body(site) == b"2"


def test_workers_are_scaled_and_log_files_opened_again(start: StartShop, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    site = start(WSGI, "--control-socket=control", f"--access-log={log}")
    told = control(tmp_path, "scale", "3")
    assert (told.returncode, told.stdout) == (0, "3 workers from now on\n")
    wait_until(lambda: len(site.server.workers()) == 3, "three workers")
    assert control(tmp_path, "scale", "0").returncode == 1
    log.rename(tmp_path / "old")
    assert control(tmp_path, "logs-reopen").returncode == 0
    wait_until(lambda: body(site) == b"1" and log.exists(), "a new file")


def test_stop_returns_when_the_server_has_ended(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--control-socket=control")
    connection = site.connect()
    connection.send(get("/slow"))
    told = control(tmp_path, "stop")
    assert (told.returncode, told.stdout) == (0, "stopped\n")
    assert connection.response().status == 200
    assert site.server.wait(5.0) == 0
    assert not (tmp_path / "control").exists()
    told = control(tmp_path, "status")
    assert told.returncode == 1
    assert "control socket" in told.stderr


def test_a_pid_file_will_do(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--pid-file=site.pid")
    write(tmp_path, version("2", WSGI))
    assert run("reload", "--pid-file=site.pid", cwd=tmp_path).returncode == 0
    wait_until(lambda: body(site) == b"2", "it has reloaded")
    assert f"process {site.server.pid} runs" in run("status", "--pid-file=site.pid", cwd=tmp_path).stdout
    assert "--control-socket only" in run("scale", "2", "--pid-file=site.pid", cwd=tmp_path).stderr
    stop = subprocess.Popen(
        [sys.executable, "-m", "ironbridge", "stop", "--pid-file=site.pid"], cwd=tmp_path, stdout=subprocess.PIPE
    )
    # Until this process has taken note of its child's end, the child is there.
    assert site.server.wait(10.0) == 0
    assert stop.communicate(timeout=10)[0] == b"stopped\n"
    assert run("reload", "--pid-file=site.pid", cwd=tmp_path).returncode == 1
    told = run("reload", cwd=tmp_path)
    assert told.returncode == 1
    assert "which server? Say --control-socket or --pid-file" in told.stderr


def test_callers_that_say_nothing_or_nonsense_hold_up_nobody(start: StartShop, tmp_path: Path) -> None:
    start(WSGI, "--control-socket=control")
    silent = []
    for text in [b"", b"rel", b"x" * 1000, b"dance\n"] * 10:
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(str(tmp_path / "control"))
        caller.sendall(text)
        silent.append(caller)
    begun = time.monotonic()
    assert control(tmp_path, "status").returncode == 0
    assert time.monotonic() - begun < 7.0
    for caller in silent:
        caller.close()


def test_a_server_that_is_told_to_end_is_unhealthy_first(start: StartShop) -> None:
    for options in [["--workers=2"], ["--no-supervisor"]]:
        site = start(WSGI, *options, "--health-path=/health", "--shutdown-delay=1.2")
        assert site.fetch(get("/health")).status == 200
        connection = site.connect()
        begun = time.monotonic()
        site.server.signal(signal.SIGTERM)
        wait_until(lambda site=site: site.fetch(get("/health")).status == 503, "it says so")
        assert body(site) == b"1"
        connection.send(get("/"))
        assert connection.response().status == 200
        assert site.server.wait(10.0) == 0
        assert 1.0 < time.monotonic() - begun < 6.0


def successor(site: Site) -> int:
    """The process that has replaced a site's server."""
    return int(site.server.wait_log(r"upgraded: process (\d+) serves", 20.0).group(1))


def end(pid: int) -> None:
    """Ends a successor, which is nobody's child here."""
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), "the new server has ended")


@KINDS
def test_an_upgrade_under_load_loses_nothing(start: StartShop, tmp_path: Path, kind: str) -> None:
    site = start(CODE[kind], "--workers=2", "--control-socket=control", "--pid-file=site.pid")
    address = site.address
    with Load(address, TARGETS[kind]) as load:
        write(tmp_path, version("2", CODE[kind]))
        site.server.signal(signal.SIGUSR2)
        new = successor(site)
        try:
            assert site.server.process.wait(15.0) == 0
            assert (tmp_path / "site.pid").read_text() == f"{new}\n"
            wait_until(lambda: ("/", b"2") in load.answers, "the new one answers")
            # The new server can be upgraded and asked in its turn.
            status = json.loads(control(tmp_path, "status", "json").stdout)
            assert (status["pid"], status["wanted"]) == (new, 2)
            told = control(tmp_path, "upgrade")
            assert told.returncode == 0, told.stderr
            newest = int(told.stdout.split()[2])
            wait_until(lambda: not alive(new), "the old one has ended")
            new = newest
        finally:
            load.stop()
            end(new)
    assert not load.failures
    assert not (tmp_path / "site.pid").exists()
    assert not (tmp_path / "control").exists()


def test_an_upgrade_that_fails_leaves_socket_files_alone(start: StartShop, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    site = start(WSGI, f"--bind=unix:{path}", "--control-socket=control")
    write(tmp_path, "raise SystemExit(9)")
    assert control(tmp_path, "upgrade").returncode == 1
    assert body(site) == b"1"
    assert control(tmp_path, "status").returncode == 0
    # Neither does one that is given up.
    write(tmp_path, "import time; time.sleep(60)")
    site.server.signal(signal.SIGUSR2)
    pid = int(site.server.wait_log(r"upgrading: process (\d+) starts[\s\S]*upgrading: process (\d+) starts").group(2))
    os.kill(pid, signal.SIGTERM)
    site.server.wait_log(r"upgrade has failed[\s\S]*upgrade has failed")
    assert body(site) == b"1"
    assert control(tmp_path, "status").returncode == 0


def test_an_upgrade_says_nothing_of_variables_and_needs_a_supervisor(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--control-socket=control")
    (tmp_path / "ironbridge.toml").write_text("no-supervisor = true")
    told = control(tmp_path, "upgrade")
    assert told.returncode == 1
    assert "the new server ended with exit code 2" in told.stderr
    assert "takes over from another one needs a supervisor" in site.server.log()
    assert "IRONBRIDGE_UPGRADE" not in site.server.log()
    assert body(site) == b"1"


def test_workers_do_not_die_of_a_signal_for_their_supervisor(start: StartShop) -> None:
    site = start(WSGI)
    worker = site.server.workers()[0]
    os.kill(worker, signal.SIGUSR2)
    assert body(site) == b"1"
    time.sleep(0.2)
    assert site.server.workers() == [worker]


def test_an_upgrade_that_fails_leaves_the_old_server_alone(start: StartShop, tmp_path: Path) -> None:
    site = start(WSGI, "--control-socket=control", "--pid-file=site.pid")
    write(tmp_path, "raise SystemExit(9)")
    told = control(tmp_path, "upgrade")
    assert told.returncode == 1
    assert "the upgrade has failed: the new server ended with exit code 3; the old server goes on" in told.stderr
    assert body(site) == b"1"
    assert (tmp_path / "site.pid").read_text() == f"{site.server.pid}\n"
    write(tmp_path, "import time; time.sleep(60)")
    site.server.signal(signal.SIGUSR2)
    pid = int(site.server.wait_log(r"upgrading: process (\d+) starts[\s\S]*upgrading: process (\d+) starts").group(2))
    assert body(site) == b"1"
    # It goes with the old one, should that be told to end.
    site.server.stop()
    wait_until(lambda: not alive(pid), "the new one has ended")
    assert not (tmp_path / "site.pid").exists()


def test_an_upgrade_keeps_unix_sockets_and_opens_new_addresses(start: StartShop, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    (tmp_path / "ironbridge.toml").write_text(f"bind = ['unix:{path}']")
    write(tmp_path, WSGI)
    server = ServerProcess(["shop:app"], None, tmp_path)
    try:
        server.wait_log("listening at")
        inode = path.stat().st_ino
        (tmp_path / "ironbridge.toml").write_text(f"bind = ['unix:{path}', '127.0.0.1:0']")
        server.signal(signal.SIGUSR2)
        new = int(server.wait_log(r"upgraded: process (\d+) serves", 20.0).group(1))
        assert server.process.wait(15.0) == 0
        try:
            assert path.stat().st_ino == inode
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(get("/"))
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            assert "listening at http://127.0.0.1" in server.log()
        finally:
            end(new)
        assert not path.exists()
    finally:
        server.kill()
