"""Where the server listens."""

from __future__ import annotations

import grp
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Serve
from raw_client import Address, Connection, fetch, get
from serving import command, environment, run
from wsgi_site import APPS_FOLDER, Site, parse_address, wait_until

APP = "apps:application"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    made = Path(tempfile.mkdtemp(prefix="ib"))
    yield made
    shutil.rmtree(made)


def test_port_0_takes_a_free_port_and_says_which_as_a_link(serve: Serve) -> None:
    site = serve("--bind=127.0.0.1:0")
    assert re.search(r"http://127\.0\.0\.1:[1-9][0-9]+", site.server.log())
    site.assert_alive()


def test_several_addresses_are_served_at_once(serve: Serve, folder: Path) -> None:
    site = serve("--bind=127.0.0.1:0", "--bind=127.0.0.1:0", f"--bind=unix:{folder}/s")
    addresses = [parse_address(address) for address in site.server.addresses]
    assert len(set(addresses)) == 3
    for address in addresses:
        assert fetch(address, get("/hello")).body == b"hello"


def test_names_are_looked_up(serve: Serve) -> None:
    site = serve("--bind=localhost:0")
    site.assert_alive()


def test_the_port_variable_is_served_on_every_address(serve: Serve) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Started without --bind: the option would win over $PORT.
    process = subprocess.Popen(
        [*command(), APP], cwd=APPS_FOLDER, env=environment({"PORT": str(port)}), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert any(f":{port}" in line for line in process.stderr)
        assert fetch(("127.0.0.1", port), get("/hello")).body == b"hello"
        process.terminate()
        assert process.wait(10.0) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        _assert_refused(f"--bind={address}", address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:65536", "127.0.0.1:abc", "127.0.0.1:-1", "unix:", "fd://x", "fd://-1", "fd://999", "[::1:80", ""],
)
def test_an_address_that_makes_no_sense_is_one_line_and_exit_code_2(address: str) -> None:
    _assert_refused(f"--bind={address}", address)


def test_a_name_that_does_not_exist_is_one_line_and_exit_code_2() -> None:
    _assert_refused("--bind=no-such-host.invalid:8000", "no-such-host.invalid")


def test_an_address_of_another_machine_is_one_line_and_exit_code_2() -> None:
    # TEST-NET-1 of RFC 5737: nobody has it.
    _assert_refused("--bind=192.0.2.1:8000", "192.0.2.1:8000")


@pytest.mark.parametrize(
    ("option", "mode"), [([], 0o660), (["--unix-socket-mode=600"], 0o600), (["--unix-socket-mode=666"], 0o666)]
)
def test_a_unix_socket_has_the_mode_asked_for(serve: Serve, folder: Path, option: list[str], mode: int) -> None:
    path = folder / "s"
    site = serve(f"--bind=unix:{path}", *option)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    site.assert_alive()


def test_a_unix_socket_has_the_group_asked_for(serve: Serve, folder: Path) -> None:
    others = [group for group in os.getgroups() if group != os.getgid()]
    if os.geteuid() == 0:
        others = [entry.gr_gid for entry in grp.getgrall() if entry.gr_gid != os.getgid()]
    if not others:
        pytest.skip("this user is in one group only")
    path = folder / "s"
    serve(f"--bind=unix:{path}", f"--unix-socket-group={others[0]}").assert_alive()
    assert path.stat().st_gid == others[0]


def test_a_stale_unix_socket_is_replaced(serve: Serve, folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    serve(f"--bind=unix:{path}").assert_alive()


def test_a_unix_socket_that_somebody_serves_is_left_to_them(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        _assert_refused(f"--bind=unix:{path}", str(path))
        with Connection(str(path)):
            pass


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    path = folder / "precious"
    path.write_text("data", encoding="ascii")
    _assert_refused(f"--bind=unix:{path}", str(path))
    assert path.read_text(encoding="ascii") == "data"


def test_a_unix_socket_is_removed_at_the_end(serve: Serve, folder: Path) -> None:
    path = folder / "s"
    site = serve(f"--bind=unix:{path}")
    assert path.exists()
    site.server.stop()
    assert not path.exists()


def test_a_socket_can_be_handed_over_as_a_descriptor() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address: Address = listener.getsockname()[:2]
        process = subprocess.Popen(
            [*command(), f"--bind=fd://{listener.fileno()}", APP],
            cwd=APPS_FOLDER,
            env=environment(),
            pass_fds=[listener.fileno()],
        )
        try:
            # The kernel takes the connection at once, the server answers as soon as it can.
            assert fetch(address, get("/hello")).body == b"hello"
            process.terminate()
            assert process.wait(10.0) == 0
        finally:
            process.kill()
            process.wait()


def test_ipv6_addresses_are_served(serve: Serve) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    site = serve("--bind=[::1]:0")
    assert "http://[::1]:" in site.server.log()
    site.assert_alive()


def test_a_port_can_be_bound_again_right_after_the_end(serve: Serve) -> None:
    first: Site = serve()
    first.assert_alive()
    # Leaves a connection behind that the server closed first.
    connection = first.connect()
    connection.send(get("/hello", ("Connection", "close")))
    connection.response()
    connection.wait_closed()
    assert isinstance(first.address, tuple)
    port = first.address[1]
    first.server.stop()
    second: Site = serve(f"--bind=127.0.0.1:{port}")
    wait_until(lambda: second.get("hello").status == 200, "an answer")


def _assert_refused(option: str, names: str) -> None:
    result = run(option, APP, cwd=APPS_FOLDER)
    assert result.returncode == 2, result
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert names in lines[0]
    assert "bind" in lines[0]
