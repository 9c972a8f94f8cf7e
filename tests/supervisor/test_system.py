"""What the server is to the system: service manager, process 1, user, files."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import ServerProcess, command, run
from shop import StartShop, write
from test_supervisor import WSGI, body
from wsgi_site import Site, wait_until

FACTS = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    umask = os.umask(0)
    os.umask(umask)
    facts = {
        "/ids": (os.getresuid(), os.getresgid(), os.getgroups()),
        "/umask": oct(umask),
        "/variable": os.environ.get("FROM_FILE"),
        "/listen": sorted(name for name in os.environ if name.startswith("LISTEN_")),
    }
    return [repr(facts[environ["PATH_INFO"]]).encode()]
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users and mounts")


class Manager:
    """A service manager's end of the notify socket (sd_notify(3))."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def next(self, timeout: float = 15.0) -> dict[str, str]:
        """The next message; pulses of the watchdog are left out."""
        deadline = time.monotonic() + timeout
        while True:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            lines = self._socket.recv(4096).decode().splitlines()
            message = dict(line.split("=", 1) for line in lines)
            if message != {"WATCHDOG": "1"}:
                return message

    def pulses(self, seconds: float) -> int:
        """How often the watchdog is fed in so much time."""
        deadline = time.monotonic() + seconds
        count = 0
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                count += self._socket.recv(4096) == b"WATCHDOG=1\n"
            except TimeoutError:
                break
        return count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path)
    yield found
    found.close()


def test_systemd_hears_of_every_change(start: StartShop, tmp_path: Path, manager: Manager) -> None:
    slow = "import time\ntime.sleep(1)\n" + WSGI
    write(tmp_path, slow)
    begun = time.monotonic()
    site = start(slow, "--workers=2", NOTIFY_SOCKET=manager.path)
    assert manager.next() == {"READY": "1", "STATUS": "serving with 2 workers"}
    assert time.monotonic() - begun > 1.0
    assert body(site) == b"1"
    site.server.signal(signal.SIGHUP)
    before = time.monotonic()
    message = manager.next()
    assert message["RELOADING"] == "1"
    assert abs(int(message["MONOTONIC_USEC"]) / 1e6 - before) < 0.5
    assert manager.next() == {"READY": "1", "STATUS": "serving with 2 workers"}
    assert time.monotonic() - before > 1.0
    write(tmp_path, "def app(:")
    site.server.signal(signal.SIGHUP)
    assert manager.next()["RELOADING"] == "1"
    failure = "the last reload has failed: a new worker ended with exit code 3"
    assert manager.next() == {"READY": "1", "STATUS": failure}
    site.server.signal(signal.SIGTTIN)
    assert manager.next() == {"STATUS": "serving with 3 workers"}
    site.server.signal(signal.SIGTERM)
    assert manager.next()["STOPPING"] == "1"


def test_systemd_hears_nothing_of_a_server_that_does_not_start(tmp_path: Path, manager: Manager) -> None:
    write(tmp_path, "def app(:")
    assert run("shop:app", "--bind=127.0.0.1:0", cwd=tmp_path, env={"NOTIFY_SOCKET": manager.path}).returncode == 3
    with pytest.raises(TimeoutError):
        manager.next(0.1)


def test_the_watchdog_is_fed_twice_as_often_as_it_must(start: StartShop, manager: Manager) -> None:
    start(WSGI, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="400000")
    assert manager.next()["READY"] == "1"
    assert 4 <= manager.pulses(1.1) <= 7


def test_sockets_of_systemd_take_the_place_of_binds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FACTS)
    port_file = tmp_path / "port"
    activated = [sys.executable, str(Path(__file__).with_name("activate.py")), str(port_file), *command()]
    monkeypatch.setenv("SERVER_UNDER_TEST", shlex.join(activated))
    with ServerProcess.start("shop:app", "--workers=2", cwd=tmp_path) as server:
        assert server.port == int(port_file.read_text())
        server.wait_log("systemd passes sockets: they take the place of --bind")
        assert body(Site(server), "/listen") == b"[]"
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded")
        assert body(Site(server), "/listen") == b"[]"


ORPHANS = """
import os, time
def app(environ, start_response):
    # A daemon, as old programs make them: its parent ends at once.
    for _ in range(20):
        if (child := os.fork()) == 0:
            if os.fork() == 0:
                time.sleep(0.05)
            os._exit(0)
        os.waitpid(child, 0)
    start_response("200 OK", [])
    return [b"forked"]
"""


@as_root
def test_as_process_1_it_reaps_orphans_and_obeys_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ORPHANS)
    monkeypatch.setenv("SERVER_UNDER_TEST", shlex.join(["unshare", "--pid", "--fork", "--mount-proc", *command()]))
    with ServerProcess.start("shop:app", cwd=tmp_path) as server:
        (first,) = server.workers()
        assert "NSpid" in (status := Path(f"/proc/{first}/status").read_text())
        assert status.partition("NSpid:")[2].split("\n")[0].split()[-1] == "1"
        assert body(Site(server)) == b"forked"
        children = Path(f"/proc/{first}/task/{first}/children")
        wait_until(lambda: len(children.read_text().split()) == 1, "only the worker is left")
        os.kill(first, signal.SIGTERM)
        assert server.wait(10.0) == 0


@as_root
def test_a_read_only_root_and_an_unknown_user_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/var/tmp") / f"ironbridge-test-{os.getpid()}"
    folder.mkdir()
    try:
        write(folder, WSGI)
        setpriv = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *command()]
        script = f'mount -o remount,bind,ro / && ! touch {folder}/x 2>/dev/null && exec {shlex.join(setpriv)} "$@"'
        monkeypatch.setenv("SERVER_UNDER_TEST", shlex.join(["unshare", "--mount", "sh", "-c", script, "sh"]))
        with ServerProcess.start("shop:app", "--workers=2", cwd=folder) as server:
            site = Site(server)
            assert body(site) == b"1"
            server.signal(signal.SIGHUP)
            server.wait_log("reloaded")
            assert body(site) == b"1"
    finally:
        shutil.rmtree(folder)


@as_root
def test_the_application_runs_as_another_user(start: StartShop) -> None:
    # Preloaded, with all that is imported later: the other user may not be able to read the interpreter's files.
    code = "import threading, traceback, tempfile\n" + FACTS
    nobody, group = (subprocess.check_output(["id", option, "nobody"], text=True).strip() for option in ("-u", "-g"))
    site = start(code, "--preload", "--user=nobody")
    ids = f"(({nobody}, {nobody}, {nobody}), ({group}, {group}, {group}), [{group}])"
    assert body(site, "/ids").decode() == ids
    assert os.stat(f"/proc/{site.server.pid}").st_uid == 0
    site = start(code, "--preload", "--user=54321", "--group=54322")
    assert body(site, "/ids") == b"((54321, 54321, 54321), (54322, 54322, 54322), [54322])"
    site = start(code, "--no-supervisor", "--group=54322")
    assert body(site, "/ids") == b"((0, 0, 0), (54322, 54322, 54322), [54322])"


def test_a_user_that_does_not_exist_is_named(tmp_path: Path) -> None:
    write(tmp_path, WSGI)
    for option, text in [("--user", "there is no user 'nemo'"), ("--group", "there is no group 'nemo'")]:
        done = run("shop:app", f"{option}=nemo", "--bind=127.0.0.1:0", cwd=tmp_path)
        assert done.returncode == 2
        assert f"ironbridge: error: option {option}: {text}".replace("'", '"') in done.stderr


def test_the_pid_file_names_the_supervisor(start: StartShop, tmp_path: Path) -> None:
    path = tmp_path / "site.pid"
    site = start(WSGI, f"--pid-file={path}")
    assert int(path.read_text()) == site.server.pid
    other = run("shop:app", f"--pid-file={path}", "--bind=127.0.0.1:0", cwd=tmp_path)
    assert other.returncode == 2
    assert f"option --pid-file: {path}: process {site.server.pid} runs already" in other.stderr
    os.kill(site.server.workers()[0], signal.SIGTERM)
    wait_until(lambda: body(site) == b"1" and path.exists(), "the end of a worker leaves it alone")
    site.server.stop()
    assert not path.exists()


def test_an_environment_file_is_read_at_each_reload(start: StartShop, tmp_path: Path) -> None:
    file = tmp_path / "site.env"
    file.write_text("# secrets\nFROM_FILE='one two'\nexport PATH=/nowhere\n")
    site = start(FACTS, "--env-file=site.env")
    assert body(site, "/variable") == b"'one two'"
    file.write_text("FROM_FILE=three\n")
    site.server.signal(signal.SIGHUP)
    site.server.wait_log("reloaded")
    wait_until(lambda: body(site, "/variable") == b"'three'", "the new one is known")


def test_a_broken_environment_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, WSGI)
    (tmp_path / "site.env").write_text("no assignment\n")
    done = run("shop:app", "--env-file=site.env", "--bind=127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 2
    assert "option --env-file: site.env: " in done.stderr
    done = run("shop:app", "--env-file=missing.env", "--bind=127.0.0.1:0", cwd=tmp_path)
    assert "option --env-file: missing.env: " in done.stderr


def test_the_umask_holds_in_the_application(start: StartShop) -> None:
    assert body(start(FACTS, "--umask=027"), "/umask") == b"'0o27'"


def test_a_server_object_leaves_the_process_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, WSGI)
    code = "import ironbridge\nironbridge.Server('shop:app', pid_file='x.pid')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=40)
    assert "ValueError: a Server is part of a program" in done.stderr
    assert not (tmp_path / "x.pid").exists()
