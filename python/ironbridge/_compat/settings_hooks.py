"""Hooks of Gunicorn, and its dirty arbiters."""

from __future__ import annotations

from . import values
from .setting import LIST, NUMBER, Choice, Choices, Kind, Outcome, Setting, Verdict, ignored, refused, ruled
from .settings_protocols import TLS

DIRTY = "there are no dirty arbiters: run such work as a service of its own"
DIRTY_PART = "there are no dirty arbiters"
ABORT = "a worker that hangs could not run it: it is replaced, and the log shows where it hangs"
PER_REQUEST = "it costs time in Python for each request"


def _hook(name: str, arity: int, why: str = "", verdict: Verdict = Verdict.EXACT) -> Setting:
    rule = ruled(verdict, "", why, lambda choice, choices: Outcome(verdict, {}, why))
    return Setting(name, (), Kind(values.hook(arity)), None, rule)


def _ssl_context(choice: Choice, choices: Choices) -> Outcome:
    if choices.value("certfile") or choices.value("keyfile"):
        return Outcome(Verdict.REFUSED, {}, TLS)
    return Outcome(Verdict.EXACT)


DIRTY_ARBITERS = (
    Setting(
        "dirty_apps",
        ("--dirty-app",),
        LIST,
        (),
        refused(DIRTY),
    ),
    Setting("dirty_workers", ("--dirty-workers",), NUMBER, 0, ignored(DIRTY_PART)),
    Setting("dirty_timeout", ("--dirty-timeout",), NUMBER, 300, ignored(DIRTY_PART)),
    Setting("dirty_threads", ("--dirty-threads",), NUMBER, 1, ignored(DIRTY_PART)),
    Setting("dirty_graceful_timeout", ("--dirty-graceful-timeout",), NUMBER, 30, ignored(DIRTY_PART)),
    _hook("on_dirty_starting", 1, DIRTY_PART, Verdict.IGNORED),
    _hook("dirty_post_fork", 2, DIRTY_PART, Verdict.IGNORED),
    _hook("dirty_worker_init", 1, DIRTY_PART, Verdict.IGNORED),
    _hook("dirty_worker_exit", 2, DIRTY_PART, Verdict.IGNORED),
)

SERVER_HOOKS = (
    _hook("on_starting", 1),
    _hook("on_reload", 1),
    _hook("when_ready", 1),
    _hook("pre_fork", 2),
    _hook("post_fork", 2),
    _hook("post_worker_init", 1),
    _hook("worker_int", 1),
    _hook("worker_abort", 1, ABORT, Verdict.IGNORED),
    _hook("pre_exec", 1),
    _hook("pre_request", 2, PER_REQUEST),
    Setting(
        "post_request",
        (),
        Kind(values.post_request),
        None,
        ruled(Verdict.EXACT, "", PER_REQUEST, lambda choice, choices: Outcome(Verdict.EXACT, {}, PER_REQUEST)),
    ),
    _hook("child_exit", 2),
    _hook("worker_exit", 2),
    _hook("nworkers_changed", 3),
    _hook("on_exit", 1),
    Setting(
        "ssl_context",
        (),
        Kind(values.hook(2)),
        None,
        ruled(
            Verdict.REFUSED, "", "TLS isn't there yet; without certfile and keyfile it is never called", _ssl_context
        ),
    ),
)
