"""Worker classes: which interface, how many threads."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from .setting import Choice, Choices, Outcome, Value, Verdict


def worker_class(choice: Choice, choices: Choices) -> Outcome:
    """What serves the application instead of a worker class of Gunicorn."""
    if choice.value is None:
        return Outcome(Verdict.EXACT)
    name = class_name(choice.value)
    kind = worker_kind(choice.value)
    if kind == "sync":
        return Outcome(Verdict.APPROXIMATE, {}, SYNC, _threads(choices))
    if kind == "gthread":
        return Outcome(Verdict.EXACT, {}, "", _threads(choices))
    if kind in ("gevent", "eventlet"):
        most = min(choices.value("worker_connections") or MOST_THREADS, MOST_THREADS)
        return Outcome(Verdict.APPROXIMATE, {"threads": most}, GREENLETS.format(kind=kind))
    if kind == "asgi":
        return Outcome(Verdict.EXACT, {"interface": "asgi"})
    if kind == "uvicorn":
        options: dict[str, Value] = {"interface": "asgi"}
        if name.endswith("UvicornH11Worker"):
            options["loop"] = "asyncio"
        return Outcome(Verdict.EXACT, options)
    if kind in UNSUITABLE:
        return Outcome(Verdict.REFUSED, {}, UNSUITABLE[kind])
    return _custom(choice.value, name)


def worker_kind(value: object) -> str:
    """Of which family a worker class is: "uvicorn", "aiohttp", one of the values of `BUNDLED`, or "" for others."""
    name = class_name(value)
    for prefix in ("uvicorn.workers.", "uvicorn_worker."):
        if name.startswith(prefix):
            return "uvicorn"
    if name.startswith("aiohttp."):
        return "aiohttp"
    return BUNDLED.get(name, "")


def class_name(value: object) -> str:
    """The dotted name of a worker class, without the "egg:gunicorn#" of old."""
    if isinstance(value, str):
        return value.removeprefix("egg:gunicorn#")
    if inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return ""


def threads(choice: Choice, choices: Choices) -> Outcome:
    """`threads`: what the threaded workers of Gunicorn have, and the others do not."""
    if worker_kind(choices.value("worker_class")) in ("gevent", "eventlet", "asgi", "uvicorn"):
        return Outcome(Verdict.EXACT, {}, "the worker class has no use for it, here as in Gunicorn")
    return Outcome(Verdict.EXACT, {"threads": choice.value})


def _threads(choices: Choices) -> Mapping[str, Value]:
    return {} if "threads" in choices else {"threads": 1}


def _custom(value: object, name: str) -> Outcome:
    """Subclasses of Uvicorn's worker set nothing but `CONFIG_KWARGS`; the code of others cannot run here."""
    settings = getattr(_loaded(value, name), "CONFIG_KWARGS", None)
    if not isinstance(settings, dict):
        return Outcome(Verdict.REFUSED, {}, CUSTOM.format(name=name))
    taken = {key: settings[key] for key in ("loop", "lifespan", "root_path") if isinstance(settings.get(key), str)}
    ours: dict[str, Value] = {"interface": "asgi", **taken}
    left = sorted(key for key in settings if key not in (*taken, "http"))
    why = f"{name} is taken for Uvicorn's worker" + (f"; its {', '.join(left)} is not read" if left else "")
    return Outcome(Verdict.APPROXIMATE, ours, why)


def _loaded(value: object, name: str) -> Any:
    if not isinstance(value, str):
        return value
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute) if module else None
    except Exception:
        # Whatever its module does or lacks: without the class it is a custom one.
        return None


MOST_THREADS = 512

BUNDLED = {
    "sync": "sync",
    "gunicorn.workers.sync.SyncWorker": "sync",
    "gthread": "gthread",
    "gunicorn.workers.gthread.ThreadWorker": "gthread",
    "gevent": "gevent",
    "gevent_wsgi": "gevent",
    "gevent_pywsgi": "gevent",
    "gunicorn.workers.ggevent.GeventWorker": "gevent",
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": "gevent",
    "eventlet": "eventlet",
    "gunicorn.workers.geventlet.EventletWorker": "eventlet",
    "tornado": "tornado",
    "gunicorn.workers.gtornado.TornadoWorker": "tornado",
    "asgi": "asgi",
    "gunicorn.workers.gasgi.ASGIWorker": "asgi",
}

SYNC = (
    "one thread, so that the application still meets one request at a time; threads cost little here, so give an"
    " application that is safe with them threads = 64"
)
GREENLETS = (
    "the requests of {kind} run in threads; the application is not monkey-patched, and code that calls {kind} itself"
    " does not work"
)
CUSTOM = (
    "{name} is a worker class of its own, whose code cannot run here; leave it out, and set interface where the"
    " application is ASGI"
)
UNSUITABLE = {
    "tornado": "applications of Tornado bring their own server; wrap them as WSGI or ASGI",
    "aiohttp": "applications of aiohttp are neither WSGI nor ASGI; run them with their own server",
}
