"""What hooks are given: `server` (gunicorn/arbiter.py) and `worker` (gunicorn/workers/base.py), to read from.

Hooks may put attributes of their own on both; they stay, `server` also over reloads.
"""

from __future__ import annotations

import os
import sys
import time
from random import randint

from .binding import Address
from .cfg import Cfg
from .logger import Logger


class Application:
    """`server.app`.

    Attributes:
        cfg: The settings.
        callable: The application once it is loaded: in workers, with preload_app in the supervisor too.
    """

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        self.callable: object = None

    def wsgi(self) -> object:
        """The application, see `callable`."""
        return self.callable


class Listener:
    """One of `server.LISTENERS`: an address. The socket itself is the server's."""

    def __init__(self, address: Address) -> None:
        self.cfg_addr = address

    def getsockname(self) -> Address:
        """The address as it was configured."""
        return self.cfg_addr

    def __str__(self) -> str:
        address = self.cfg_addr
        if isinstance(address, tuple):
            host, port = address
            return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return f"fd://{address}" if isinstance(address, int) else f"unix:{address}"


class WorkerTmp:
    """`worker.tmp`: Gunicorn's heartbeat, which always beats here."""

    def last_update(self) -> float:
        """When the worker was last heard of, on the monotonic clock."""
        return time.monotonic()

    def notify(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class Worker:
    """A worker process.

    Attributes:
        age: Which worker it is, counted from 1.
        pid: Its process; "[booting]" before the fork.
        ppid: The supervisor's process.
        alive: Whether it goes on serving.
        aborted: Whether it is ended for not responding.
        booted: Whether it serves.
        nr: Requests so far. They are counted where pre_request or post_request is defined.
        wsgi: The application, once it is loaded.
    """

    def __init__(self, age: int, server: Server) -> None:
        cfg = server.cfg
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = server.pid
        self.cfg = cfg
        self.log = server.log
        self.app = server.app
        self.sockets = server.LISTENERS
        self.timeout = cfg.timeout / 2
        self.max_requests = cfg.max_requests + randint(0, cfg.max_requests_jitter) if cfg.max_requests else sys.maxsize
        self.alive = True
        self.aborted = False
        self.booted = False
        self.nr = 0
        self.reloader = None
        self.tmp = WorkerTmp()
        self.wsgi: object = None

    def notify(self) -> None:
        """Does nothing: there is no heartbeat to keep up."""

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


class Server:
    """The supervisor.

    Attributes:
        pid: Its process.
        cfg: The settings; after a reload the new ones.
        log: The logger.
        app: The application.
        address: The configured addresses, as `cfg.address`.
        WORKERS: Workers by process id.
        num_workers: How many there should be. Setting it changes nothing.
        worker_age: How many workers have been started.
        LISTENERS: The addresses, with `getsockname()`.
        timeout: As in the settings.
        proc_name: As in the settings.
    """

    def __init__(self, cfg: Cfg, log: Logger) -> None:
        self.pid = os.getpid()
        self.master_pid = 0
        self.reexec_pid = 0
        self.master_name = "Master"
        self.systemd = False
        self.pidfile = None
        self.worker_age = 0
        self.WORKERS: dict[int, Worker] = {}
        self.START_CTX = {"args": [sys.executable, *sys.argv], "cwd": os.getcwd(), 0: sys.executable}
        self.app = Application(cfg)
        self.num_workers: int = cfg.workers
        self.follow(cfg, log)

    def follow(self, cfg: Cfg, log: Logger) -> None:
        """Takes the settings of a reload."""
        self.cfg = cfg
        self.log = log
        self.app.cfg = cfg
        self.address = cfg.address
        self.LISTENERS = [Listener(address) for address in cfg.address]
        self.timeout = cfg.timeout
        self.proc_name = cfg.proc_name
