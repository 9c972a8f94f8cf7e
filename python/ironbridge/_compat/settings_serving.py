"""Settings of Gunicorn about what is served, where, and by what: its headings Config File to Debugging."""

from __future__ import annotations

import os

from . import binding, limits, values, worker_class
from .setting import (
    BOOLEAN,
    NUMBER,
    TEXT,
    Choice,
    Choices,
    Flag,
    Kind,
    Outcome,
    Setting,
    Verdict,
    approximate,
    exact,
    ignored,
    needless,
    ruled,
)

TIMEOUT = (
    "a limit of each request, whatever the worker class: beyond it the client gets 504 and RequestTimeout is raised in"
    " the application"
)


def _workers(choice: Choice, choices: Choices) -> Outcome:
    return Outcome(Verdict.EXACT, {"workers": "auto" if choice.written == "auto" else choice.value})


def _check(choice: Choice, choices: Choices) -> Outcome:
    return Outcome(Verdict.EXACT, {"check": True} if choice.value else {})


def _bind() -> list[str]:
    port = os.environ.get("PORT")
    return [f"0.0.0.0:{port}" if port else "127.0.0.1:8000"]


CONFIG_FILE = (
    Setting("config", ("-c", "--config"), TEXT, "./gunicorn.conf.py", needless("it names the file itself")),
    Setting("wsgi_app", (), TEXT, None, exact("app")),
)

SERVER_SOCKET = (
    Setting(
        "bind",
        ("-b", "--bind"),
        Kind(binding.addresses, Flag.APPEND),
        _bind,
        ruled(Verdict.EXACT, "bind", "unix sockets get the permissions that Gunicorn gives them", binding.bind),
    ),
    Setting("backlog", ("--backlog",), NUMBER, 2048, exact("backlog")),
)

WORKER_PROCESSES = (
    Setting(
        "workers",
        ("-w", "--workers"),
        Kind(values.workers),
        values.environment("WEB_CONCURRENCY", "1"),
        ruled(Verdict.EXACT, "workers", "", _workers),
    ),
    Setting(
        "worker_class",
        ("-k", "--worker-class"),
        Kind(values.worker_class),
        "sync",
        ruled(
            Verdict.APPROXIMATE,
            "interface, threads",
            "sync is threads = 1, unless threads is set; gthread is threads; asgi and Uvicorn's are interface = asgi;"
            " gevent and eventlet become threads and are not monkey-patched; tornado, aiohttp and custom ones are"
            " refused",
            worker_class.worker_class,
        ),
    ),
    Setting("threads", ("--threads",), NUMBER, 1, ruled(Verdict.EXACT, "threads", "", worker_class.threads)),
    Setting(
        "worker_connections",
        ("--worker-connections",),
        NUMBER,
        1000,
        approximate("max_connections", "further connections wait in the backlog; idle ones count too"),
    ),
    Setting("max_requests", ("--max-requests",), NUMBER, 0, exact("max_requests")),
    Setting("max_requests_jitter", ("--max-requests-jitter",), NUMBER, 0, exact("max_requests_jitter")),
    Setting("timeout", ("-t", "--timeout"), NUMBER, 30, approximate("request_timeout", TIMEOUT)),
    Setting("graceful_timeout", ("--graceful-timeout",), NUMBER, 30, exact("graceful_timeout")),
    Setting("keepalive", ("--keep-alive",), NUMBER, 2, exact("keep_alive")),
    Setting(
        "asgi_loop",
        ("--asgi-loop",),
        Kind(values.one_of("auto", "asyncio", "uvloop", otherwise="auto")),
        "auto",
        exact("loop"),
    ),
    Setting(
        "asgi_lifespan",
        ("--asgi-lifespan",),
        Kind(values.one_of("auto", "on", "off", otherwise="auto")),
        "auto",
        exact("lifespan"),
    ),
    Setting(
        "asgi_disconnect_grace_period",
        ("--asgi-disconnect-grace-period",),
        NUMBER,
        3,
        ignored("an application hears that its client has left, and goes on; cancel_on_disconnect cancels it at once"),
    ),
    Setting(
        "websocket_max_message_size",
        ("--websocket-max-message-size",),
        NUMBER,
        1 << 24,
        exact("ws_max_size", limits.message_size),
    ),
    Setting(
        "http_parser",
        ("--http-parser",),
        Kind(values.one_of("auto", "fast", "python", otherwise="auto")),
        "auto",
        ignored("there is one parser, and it is fast"),
    ),
)

SECURITY = (
    Setting(
        "limit_request_line",
        ("--limit-request-line",),
        NUMBER,
        4094,
        exact("limit_request_line", limits.request_line, "0, no limit, is 1 MiB"),
    ),
    Setting(
        "limit_request_fields",
        ("--limit-request-fields",),
        NUMBER,
        100,
        ruled(Verdict.EXACT, "limit_request_fields", f"at most {limits.MOST_FIELDS}", limits.request_fields),
    ),
    Setting(
        "limit_request_field_size",
        ("--limit-request-field_size",),
        NUMBER,
        8190,
        ruled(Verdict.APPROXIMATE, "limit_request_head", limits.FIELD_SIZE_WHY, limits.field_size),
    ),
)

DEBUGGING = (
    Setting("reload", ("--reload",), BOOLEAN, False, exact("reload")),
    Setting(
        "reload_engine",
        ("--reload-engine",),
        Kind(values.one_of("auto", "poll", "inotify", otherwise="auto")),
        "auto",
        ignored("the server chooses how it watches files"),
    ),
    Setting(
        "reload_extra_files",
        ("--reload-extra-file",),
        Kind(values.existing_files, Flag.APPEND),
        (),
        exact("reload_extra"),
    ),
    Setting("spew", ("--spew",), BOOLEAN, False, ignored("use a debugger with --no-supervisor")),
    Setting("check_config", ("--check-config",), BOOLEAN, False, ruled(Verdict.EXACT, "check", "", _check)),
    Setting(
        "print_config",
        ("--print-config",),
        BOOLEAN,
        False,
        ruled(Verdict.EXACT, "check", "`ironbridge check FILE` prints the settings", _check),
    ),
)
