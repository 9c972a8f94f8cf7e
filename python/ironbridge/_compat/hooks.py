"""Calls the hooks of a configuration file, with the objects that they expect."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .arbiter import Server, Worker
from .around_asgi import around_asgi
from .around_wsgi import around_wsgi
from .cfg import Cfg
from .logger import Logger

Hook = Callable[..., object]


class Hooks:
    """The hooks of one reading of a configuration file.

    What `on_starting`, `post_fork` and `post_worker_init` raise goes to the caller: the server, or the worker, does not
    start. What the others raise is logged with its traceback, and the server goes on. (Gunicorn ends where a hook of
    its master raises.) What `pre_request` raises is an error of that request, as if the application had raised it.

    Args:
        functions: The hooks by name.
        cfg: The settings.

    Attributes:
        names: Which hooks there are.
        server: The supervisor, as hooks see it.
    """

    def __init__(self, functions: Mapping[str, Hook], cfg: Cfg) -> None:
        self.names: frozenset[str] = frozenset(functions)
        self._functions = dict(functions)
        self._cfg = cfg
        self._log = Logger(cfg)
        self.server = Server(cfg, self._log)
        self._worker: Worker | None = None

    # In the supervisor.

    def settle(self, options: Mapping[str, object]) -> None:
        """Tells what options are in the end, where the command line or the environment says otherwise.

        Args:
            options: Values by keyword; those that are no setting of Gunicorn's are left out.
        """
        for option, value in options.items():
            if option in SETTLED:
                self._cfg.settle(SETTLED[option], LEVELS.get(str(value), value) if option == "log_level" else value)
        self._log.setup(self._cfg)
        self.server.follow(self._cfg, self._log)
        self.server.num_workers = self._cfg.workers

    def continue_from(self, previous: Hooks | None) -> None:
        """Takes over the `server` of the reading before, with its workers and all that hooks have put on it.

        Call it when a reload begins; should that fail, call it on the previous hooks with these.
        """
        if previous is not None:
            self.server = previous.server
            self._log.setup(self._cfg)
            self.server.follow(self._cfg, self._log)

    def preloaded(self, app: object) -> None:
        """Tells of the application that the supervisor has imported (`preload_app`)."""
        self.server.app.callable = app

    def on_starting(self) -> None:
        """Before anything else. Raises what the hook raises."""
        self.server.pid = os.getpid()
        self._must("on_starting", self.server)

    def when_ready(self) -> None:
        """The server listens."""
        self._may("when_ready", self.server)

    def on_reload(self) -> None:
        """A reload begins; the settings are the new ones."""
        self._may("on_reload", self.server)

    def pre_exec(self) -> None:
        """In the fork that is about to become a new version of the server."""
        self._may("pre_exec", self.server)

    def on_exit(self) -> None:
        """The last that the server does."""
        self._may("on_exit", self.server)

    def nworkers_changed(self, new: int, old: int | None) -> None:
        """There should be another number of workers. Gunicorn says so at the start too, with None for `old`."""
        self.server.num_workers = new
        self._may("nworkers_changed", self.server, new, old)

    def pre_fork(self) -> None:
        """A worker is about to be forked."""
        self.server.worker_age += 1
        self._worker = Worker(self.server.worker_age, self.server)
        self._may("pre_fork", self.server, self._worker)

    def forked(self, pid: int) -> None:
        """The worker that `pre_fork` was told of is this process."""
        if self._worker is not None:
            self._worker.pid = pid
            self.server.WORKERS[pid] = self._worker
            self._worker = None

    def child_exit(self, pid: int) -> None:
        """A worker has ended."""
        worker = self.server.WORKERS.pop(pid, None)
        if worker is not None:
            worker.alive = False
            self._may("child_exit", self.server, worker)

    # In a worker.

    @property
    def worker(self) -> Worker:
        """This worker."""
        if self._worker is None:
            self.server.worker_age += 1
            self._worker = Worker(self.server.worker_age, self.server)
        return self._worker

    def post_fork(self) -> None:
        """Right after the fork. Raises what the hook raises."""
        self.worker.pid = os.getpid()
        self._must("post_fork", self.server, self.worker)

    def post_worker_init(self, app: object) -> None:
        """The application is loaded. Raises what the hook raises."""
        self.worker.wsgi = self.server.app.callable = app
        self._must("post_worker_init", self.worker)
        self.worker.booted = True

    def worker_int(self) -> None:
        """The worker was interrupted (SIGINT, SIGQUIT)."""
        self.worker.alive = False
        self._may("worker_int", self.worker)

    def worker_abort(self) -> None:
        """The worker is ended because it does not respond (SIGABRT)."""
        self.worker.alive = False
        self.worker.aborted = True
        self._may("worker_abort", self.worker)

    def worker_exit(self) -> None:
        """The last that a worker does."""
        self.worker.alive = False
        self._may("worker_exit", self.server, self.worker)

    def wrap(self, app: object, interface: str) -> object:
        """The application with `pre_request` and `post_request` around it; itself where neither is defined.

        Args:
            app: A WSGI or an ASGI 3 application.
            interface: "wsgi" or "asgi".
        """
        before, after = self._functions.get("pre_request"), self._functions.get("post_request")
        if before is None and after is None:
            return app
        around = around_asgi if interface == "asgi" else around_wsgi
        # Only now is it callable for sure.
        return around(app, self.worker, before, after)  # type: ignore[arg-type]

    def _must(self, name: str, *arguments: object) -> None:
        function = self._functions.get(name)
        if function is not None:
            function(*arguments)

    def _may(self, name: str, *arguments: object) -> None:
        try:
            self._must(name, *arguments)
        except Exception:
            self._log.exception("Exception in %s hook", name)


LEVELS = {"trace": "debug", "warn": "warning"}
"""Levels of ours as Python calls them."""

SETTLED = {
    "app": "wsgi_app",
    "bind": "bind",
    "backlog": "backlog",
    "workers": "workers",
    "threads": "threads",
    "max_requests": "max_requests",
    "max_requests_jitter": "max_requests_jitter",
    "request_timeout": "timeout",
    "graceful_timeout": "graceful_timeout",
    "keep_alive": "keepalive",
    "preload": "preload_app",
    "chdir": "chdir",
    "pid_file": "pidfile",
    "access_log": "accesslog",
    "log_file": "errorlog",
    "log_level": "loglevel",
    "name": "proc_name",
}
"""Options of ours that are a setting of Gunicorn's, with values that it takes."""
