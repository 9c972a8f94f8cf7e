"""Hooks of the supervisor and of workers, and the objects that they are given."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ironbridge._compat import config
from ironbridge._compat.hooks import Hooks
from ironbridge._compat.settings import HOOKS, SETTINGS

Load = Callable[..., config.Configuration]
Fails = Callable[..., str]

ALL = """
calls = []
def on_starting(server): calls.append(("on_starting", server.pid))
def when_ready(server): calls.append(("when_ready", [str(listener) for listener in server.LISTENERS]))
def on_reload(server): calls.append(("on_reload", server.cfg.workers))
def pre_exec(server): calls.append(("pre_exec",))
def on_exit(server): calls.append(("on_exit",))
def nworkers_changed(server, new_value, old_value): calls.append(("nworkers_changed", new_value, old_value))
def pre_fork(server, worker): calls.append(("pre_fork", worker.age, worker.pid))
def child_exit(server, worker): calls.append(("child_exit", worker.pid, worker.alive, sorted(server.WORKERS)))
def post_fork(server, worker): calls.append(("post_fork", worker.age, worker.pid, worker.booted))
def post_worker_init(worker): calls.append(("post_worker_init", worker.wsgi, worker.app.callable, worker.booted))
def worker_int(worker): calls.append(("worker_int", worker.alive))
def worker_abort(worker): calls.append(("worker_abort", worker.aborted))
def worker_exit(server, worker): calls.append(("worker_exit", worker.pid))
"""


def hooks_of(configuration: config.Configuration) -> Hooks:
    assert configuration.hooks is not None
    return configuration.hooks


def calls(hooks: Hooks) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = hooks._functions["on_starting"].__globals__["calls"]
    return found


def test_a_file_without_hooks_has_none(load: Load) -> None:
    assert load("workers = 4").hooks is None


def test_the_supervisor_calls_its_hooks(load: Load) -> None:
    hooks = hooks_of(load(ALL + "workers = 2\nbind = [':80', '[::1]:81', 'unix:/x', 'fd://3']"))
    hooks.nworkers_changed(2, None)
    hooks.on_starting()
    hooks.when_ready()
    for pid in (101, 102):
        hooks.pre_fork()
        hooks.forked(pid)
    assert {pid: worker.age for pid, worker in hooks.server.WORKERS.items()} == {101: 1, 102: 2}
    hooks.child_exit(101)
    hooks.child_exit(999)
    hooks.nworkers_changed(3, 2)
    assert hooks.server.num_workers == 3
    hooks.on_reload()
    hooks.pre_exec()
    hooks.on_exit()
    assert calls(hooks) == [
        ("nworkers_changed", 2, None),
        ("on_starting", os.getpid()),
        ("when_ready", ["http://:80", "http://[::1]:81", "unix:/x", "fd://3"]),
        ("pre_fork", 1, "[booting]"),
        ("pre_fork", 2, "[booting]"),
        ("child_exit", 101, False, [102]),
        ("nworkers_changed", 3, 2),
        ("on_reload", 2),
        ("pre_exec",),
        ("on_exit",),
    ]


def test_a_worker_calls_its_hooks(load: Load) -> None:
    hooks = hooks_of(load(ALL))
    hooks.pre_fork()
    hooks.post_fork()
    hooks.post_worker_init("app")
    assert hooks.worker.booted
    hooks.worker_int()
    hooks.worker_abort()
    hooks.worker_exit()
    assert calls(hooks)[1:] == [
        ("post_fork", 1, os.getpid(), False),
        ("post_worker_init", "app", "app", False),
        ("worker_int", False),
        ("worker_abort", True),
        ("worker_exit", os.getpid()),
    ]


def test_hooks_that_are_not_defined_do_nothing(load: Load) -> None:
    hooks = hooks_of(load("def on_exit(server): pass"))
    assert hooks.names == {"on_exit"}
    hooks.on_starting()
    hooks.pre_fork()
    hooks.post_fork()
    hooks.post_worker_init(None)
    hooks.worker_exit()


def test_hooks_may_be_import_strings(clean: Path, load: Load, fails: Fails) -> None:
    (clean / "own_hooks.py").write_text("def ready(server): server.seen = True")
    hooks = hooks_of(load("when_ready = 'own_hooks.ready'"))
    hooks.when_ready()
    assert hooks.server.seen  # type: ignore[attr-defined]
    assert "when_ready: invalid value 'own_hooks.none': cannot be imported" in fails("when_ready = 'own_hooks.none'")
    assert "expected a function, or where it is: module.function" in fails("when_ready = 'ready'")


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hooks_must_take_as_many_arguments_as_they_get(name: str, load: Load, fails: Fails) -> None:
    good = {"nworkers_changed": (3,), "post_request": (2, 3, 4)}.get(
        name, (2,) if name in ("pre_fork", "post_fork", "child_exit", "worker_exit", "pre_request") else (1,)
    )
    for count in range(6):
        function = f"def {name}({', '.join(f'a{index}' for index in range(count))}): pass"
        if count in good:
            assert load(function).hooks is not None
        else:
            assert f"line 1: {name}: invalid value" in fails(function)
            assert f"and this one has {count}" in fails(function)


def test_arguments_with_defaults_count_and_others_do_not(load: Load, fails: Fails) -> None:
    assert load("def pre_fork(server, worker=None): pass").hooks is not None
    assert load("def when_ready(server, *, again=False): pass").hooks is not None
    assert "this one has 0" in fails("def when_ready(*arguments): pass")
    assert load("class Ready:\n  def __call__(self, server): pass\nwhen_ready = Ready()").hooks is not None


@pytest.mark.parametrize("name", ["on_starting", "post_fork", "post_worker_init"])
def test_an_exception_at_the_start_ends_the_start(name: str, load: Load) -> None:
    arguments = "server, worker" if name == "post_fork" else "one"
    hooks = hooks_of(load(f"def {name}({arguments}): 1 / 0"))
    with pytest.raises(ZeroDivisionError):
        getattr(hooks, name)(*(["app"] if name == "post_worker_init" else []))


@pytest.mark.parametrize(
    ("name", "arguments", "call"),
    [
        ("when_ready", "server", ()),
        ("on_reload", "server", ()),
        ("pre_exec", "server", ()),
        ("on_exit", "server", ()),
        ("nworkers_changed", "server, new, old", (2, 1)),
        ("pre_fork", "server, worker", ()),
        ("worker_int", "worker", ()),
        ("worker_abort", "worker", ()),
        ("worker_exit", "server, worker", ()),
    ],
)
def test_other_exceptions_are_logged_with_their_traceback(
    name: str, arguments: str, call: tuple[int, ...], load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(hooks_of(load(f"def {name}({arguments}): 1 / 0")), name)(*call)
    log = capsys.readouterr().err
    assert f"[ERROR] Exception in {name} hook" in log
    assert "ZeroDivisionError" in log


def test_an_exception_in_child_exit_is_logged(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    hooks = hooks_of(load("def child_exit(server, worker): 1 / 0"))
    hooks.pre_fork()
    hooks.forked(7)
    hooks.child_exit(7)
    assert "Exception in child_exit hook" in capsys.readouterr().err
    assert hooks.server.WORKERS == {}


def test_the_server_outlives_a_reload(load: Load) -> None:
    old = hooks_of(load("workers = 1\ndef on_starting(server): server.own = 'kept'"))
    old.on_starting()
    old.pre_fork()
    old.forked(7)
    new = hooks_of(load("workers = 5\ndef on_reload(server): server.seen = server.cfg.workers, sorted(server.WORKERS)"))
    new.continue_from(old)
    new.on_reload()
    assert new.server is old.server
    assert new.server.own == "kept"  # type: ignore[attr-defined]
    assert new.server.seen == (5, [7])  # type: ignore[attr-defined]
    old.continue_from(new)
    assert old.server.cfg.workers == 1
    new.continue_from(None)


def test_what_the_command_line_says_can_be_told(load: Load) -> None:
    hooks = hooks_of(load("workers = 1\ndef on_exit(server): pass"))
    hooks.settle({"workers": 8, "bind": ["127.0.0.1:0"], "queue_size": 3, "log_level": "error"})
    assert hooks.server.cfg.workers == hooks.server.num_workers == 8
    assert hooks.server.address == [("127.0.0.1", 0)]
    assert hooks.server.log.loglevel == logging.ERROR
    hooks.settle({"log_level": "warn", "request_timeout": 0.5, "workers": "auto"})
    assert hooks.server.log.loglevel == logging.WARNING
    assert hooks.server.timeout == 0.5
    assert hooks.server.num_workers >= 1


def test_cfg_has_every_setting(load: Load) -> None:
    text = "workers = '3'\nraw_env = ['A=b']\nproc_name = None\nthreads = 2\ndef on_exit(server): pass"
    cfg = hooks_of(load(text)).server.cfg
    for name in SETTINGS:
        assert getattr(cfg, name) is cfg.settings[name].get() or name == "proc_name"
    assert (cfg.workers, cfg.timeout, cfg.worker_class, cfg.worker_class_str) == (3, 30, "sync", "gthread")
    assert (cfg.env, cfg.proc_name, cfg.is_ssl) == ({"A": "b"}, "gunicorn", False)
    assert (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid())
    assert cfg.settings["workers"].default == 1
    assert cfg.settings["workers"].cli == ["-w", "--workers"]
    assert cfg.address == [("127.0.0.1", 8000)]
    cfg.post_fork(None, None)
    with pytest.raises(AttributeError, match="No configuration setting for: nonsense"):
        _ = cfg.nonsense
    assert "workers                            = 3" in str(cfg).splitlines()


def test_defaults_follow_the_environment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "81")
    monkeypatch.setenv("WEB_CONCURRENCY", "6")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    configuration = load("def on_exit(server): pass")
    cfg = hooks_of(configuration).server.cfg
    assert (cfg.address, cfg.workers, cfg.forwarded_allow_ips) == ([("0.0.0.0", 81)], 6, ["*"])
    assert configuration.given == []


def test_worker_has_gunicorns_attributes(load: Load) -> None:
    hooks = hooks_of(load("max_requests = 5\nmax_requests_jitter = 1\ndef on_exit(server): pass"))
    hooks.pre_fork()
    worker = hooks.worker
    assert (worker.age, worker.ppid, worker.nr, worker.alive, worker.timeout) == (1, os.getpid(), 0, True, 15)
    assert worker.max_requests in (5, 6)
    assert str(worker) == "<Worker [booting]>"
    assert worker.tmp.last_update() > 0
    worker.notify()


def test_the_log_goes_to_stderr_like_gunicorns(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    hooks = hooks_of(load("loglevel = 'warning'\ndef when_ready(server): pass"))
    log = hooks.server.log
    log.info("not shown")
    log.warning("shown %s", 1)
    log.log("error", "by name")
    log.critical("worst")
    log.access(None, None, None, None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("] ", 2)[2] for line in lines] == ["[WARNING] shown 1", "[ERROR] by name", "[CRITICAL] worst"]
    assert f"[{os.getpid()}]" in lines[0]


def test_the_log_goes_to_its_file(clean: Path, load: Load) -> None:
    hooks = hooks_of(load("errorlog = 'error.log'\ndef when_ready(server): server.log.info('ready')"))
    hooks.when_ready()
    (clean / "error.log").rename(clean / "error.log.1")
    hooks.when_ready()
    assert (clean / "error.log").read_text().endswith("[INFO] ready\n")


def test_a_logger_that_is_configured_is_left_alone(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    keeper = Keeper()
    logging.getLogger("gunicorn.error").addHandler(keeper)
    try:
        hooks_of(load("def when_ready(server): server.log.info('ready')")).when_ready()
    finally:
        logging.getLogger("gunicorn.error").removeHandler(keeper)
    assert [record.getMessage() for record in records] == ["ready"]
    assert capsys.readouterr().err == ""


def test_a_second_reading_does_not_log_twice(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        hooks = hooks_of(load("def when_ready(server): server.log.info('ready')"))
    hooks.when_ready()
    assert capsys.readouterr().err.count("ready") == 1


def test_worker_ids_as_authentik_gives_them(load: Load) -> None:
    hooks = hooks_of(config.load(str(Path(__file__).with_name("confs") / "worker_ids.py"), None))
    hooks.on_starting()
    for pid in (11, 12, 13):
        hooks.pre_fork()
        hooks.forked(pid)
    hooks.child_exit(12)
    hooks.pre_fork()
    hooks.forked(14)
    ids = {pid: worker.worker_id for pid, worker in hooks.server.WORKERS.items()}  # type: ignore[attr-defined]
    assert ids == {11: 1, 13: 3, 14: 2}
