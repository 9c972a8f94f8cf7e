"""Types of the options that `serve()` and `Server()` take.

Made from the options' definition: `ironbridge --generate types`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict

__all__ = ["Options"]


class Options(TypedDict, total=False):
    """Every option under its long name. Times are seconds, sizes bytes (or text such as "64K"). None: not given."""

    factory: bool | None
    """APP names a function that takes no arguments and returns the application."""

    chdir: str | os.PathLike[str] | None
    """Change to this folder first. It is where modules are searched and where relative paths start."""

    pythonpath: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
    """Folder in which Python modules are searched, after the current one. May be given several times."""

    config: str | os.PathLike[str] | None
    """Read options from this TOML file, instead of ironbridge.toml or pyproject.toml, or from a Python
    file such as Gunicorn's gunicorn.conf.py. Its path is relative to the folder of the start, whatever
    --chdir says."""

    graceful_timeout: float | None
    """Seconds that requests in flight may take to finish when the server stops."""

    shutdown_delay: float | None
    """Seconds for which a server that SIGTERM or `ironbridge stop` ends serves on, while --health-path
    answers 503: load balancers then send nothing more, and nothing is refused."""

    log_level: Literal["trace", "debug", "info", "warn", "error"] | None
    """Least important log messages that are shown."""

    log_format: Literal["human", "json"] | None
    """Format of the log."""

    log_file: str | os.PathLike[str] | None
    """Write the log to this file instead of the standard error output ("-")."""

    workers: int | Literal["auto"] | None
    """Worker processes; auto: one for each CPU that the server may use. Without it, WEB_CONCURRENCY counts
    on the command line."""

    no_supervisor: bool | None
    """Serve from this process itself. Nothing replaces it when it crashes, and it cannot be reloaded: for
    debuggers."""

    reload_strategy: Literal["all", "rolling"] | None
    """How SIGHUP replaces workers: all, with twice as many for a moment, or rolling, one after the other."""

    reload: bool | None
    """For development: reload when sources, templates or .env files change. An application that does not
    start is waited for."""

    reload_extra: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
    """Further file whose change reloads the application, or pattern of such files, such as data/**/*.yaml.
    May be given several times."""

    preload: bool | None
    """Import the application once, before workers are forked, which then share its memory. Threads and
    connections that it opens at import do not work in workers, and SIGHUP does not read its code again."""

    max_requests: int | None
    """Replace a worker after about so many requests. 0: never. Its successor serves first, and no request
    is lost."""

    max_requests_jitter: int | None
    """Up to so many requests more, chosen by each worker for itself, so that not all are replaced at once."""

    max_lifetime: float | None
    """Replace a worker after so many seconds. 0: never."""

    max_lifetime_jitter: float | None
    """Up to so many seconds more, chosen by each worker for itself."""

    max_memory: int | str | None
    """Replace a worker that holds so much memory (resident set, as `ps` shows it). 0: never."""

    max_memory_hard: int | str | None
    """End a worker that holds so much memory at once, with the requests that it has in flight, before the
    machine runs out of it. 0: never."""

    pid_file: str | os.PathLike[str] | None
    """Write the process id of the server (of its supervisor) to this file, and remove it at the end."""

    name: str | None
    """Name of the server in the titles of its processes, which `ps` shows. Without it, the application's."""

    control_socket: str | os.PathLike[str] | None
    """Unix socket that `ironbridge reload`, `status` and so on talk to the server (to its supervisor) by.
    For the server's own user, and root, only."""

    user: str | None
    """User, by name or number, that the application runs as. Addresses are bound before, so a server that
    root starts can have port 80. Its groups are the user's."""

    group: str | None
    """Group, by name or number, that the application runs as. Without it, the one of --user."""

    umask: int | str | None
    """Permissions that files which the application makes shall not have, such as 027."""

    env_file: str | os.PathLike[str] | None
    """File with lines KEY=value that are added to the environment before the application is imported; a
    reload reads it again. Variables that are set already win."""

    bind: str | Sequence[str] | None
    """Address to listen on: HOST:PORT (IPv6 in brackets), :PORT, unix:PATH or fd://N. May be given several
    times. Port 0 takes a free port. Without this option: 127.0.0.1:8000, or 0.0.0.0:$PORT where PORT is
    set."""

    unix_socket_mode: int | str | None
    """Permission bits of unix sockets, octal."""

    unix_socket_group: str | None
    """Group that owns unix sockets: a name or a number."""

    backlog: int | None
    """Connections that the kernel may hold for us until we accept them."""

    max_connections: int | None
    """Connections open at once; further ones wait in the backlog."""

    limit_request_line: int | str | None
    """Longest request line in bytes; beyond it 414."""

    limit_request_head: int | str | None
    """Longest header block in bytes; beyond it 431."""

    limit_request_fields: int | None
    """Most header lines in a request; beyond it 431."""

    limit_request_body: int | str | None
    """Largest request body in bytes (K, M, G suffixes); beyond it 413. 0: no limit."""

    header_timeout: float | None
    """Seconds for a request's head to arrive whole."""

    body_timeout: float | None
    """Seconds for which a request body may stay below --body-min-rate."""

    body_min_rate: int | str | None
    """Bytes per second that a request body must reach over each --body-timeout."""

    keep_alive: float | None
    """Seconds that an idle connection is kept for its next request. 0: close after each response."""

    write_timeout: float | None
    """Seconds for which a client may take no byte of its response."""

    request_buffering: Literal["stream", "full"] | None
    """What happens to request bodies larger than --request-buffer: "stream" starts the application and
    passes the rest on as it arrives; "full" collects all of it in a temporary file first."""

    request_buffer: int | str | None
    """Bytes of a request body that are read ahead in memory before the application starts."""

    no_server_header: bool | None
    """Leave out the Server header."""

    no_date_header: bool | None
    """Leave out the Date header."""

    health_path: str | None
    """Path that the server answers itself with 200 while it is healthy, and with 503 when it is about to
    end, without Python."""

    access_log: str | os.PathLike[str] | None
    """Write a line per request to this file, or to the standard output ("-")."""

    access_log_format: str | None
    """Format of the access log: common, combined, json, or one of your own in Gunicorn's style, such as
    %(h)s "%(r)s" %(s)s %(D)s."""

    ws_max_size: int | str | None
    """Largest WebSocket message in bytes, measured after inflating; beyond it the connection closes with
    1009."""

    ws_max_queue: int | None
    """Messages that may wait for the application; beyond it nothing more is read from the client."""

    ws_ping_interval: float | None
    """Seconds between pings to a client. 0: none."""

    ws_ping_timeout: float | None
    """Seconds for a client to answer a ping; beyond it the connection closes with 1011. 0: no limit."""

    no_ws_deflate: bool | None
    """Do not compress messages (permessage-deflate), even if the client would."""

    ws_deflate_window_bits: str | None
    """Size of the window for compressing messages, as a power of two: more memory a connection for smaller
    messages."""

    interface: Literal["auto", "wsgi", "asgi"] | None
    """How the application is called. With `auto` it is looked at."""

    loop: str | None
    """Event loop of an ASGI application: asyncio, uvloop, or MODULE:FUNCTION that makes one; auto is
    uvloop where that is installed. asyncio waits in the server's own reactor, which is best for
    applications that ask no other servers; for any other loop the reactor runs on a second thread."""

    lifespan: Literal["auto", "on", "off"] | None
    """Whether an ASGI application is told when the server starts and stops. With `auto`, one that does not
    support it is served without."""

    lifespan_timeout: float | None
    """Seconds for an ASGI application to start, and to shut down. Beyond it the log shows where it waits,
    and the server ends. 0: no limit."""

    asgi_spec_version: Literal["2.0", "2.1", "2.2", "2.3", "2.4", "2.5"] | None
    """Version of "ASGI HTTP" that an application is told. Below 2.4 some frameworks wait for a client's
    leaving beside their response, instead of hearing of it when they send."""

    cancel_on_disconnect: bool | None
    """Cancel the task of an ASGI application when the client leaves whose HTTP request it answers."""

    stall_warning: float | None
    """Seconds of a blocked event loop (ASGI) after which the log shows the Python code that blocks it. 0:
    never."""

    threads: int | None
    """Most Python threads that run requests at once. They start when needed, so a high number costs
    nothing."""

    thread_idle_timeout: float | None
    """Seconds after which a Python thread that had nothing to do ends."""

    queue_size: int | None
    """Most requests that wait for a Python thread; beyond it 503 with Retry-After."""

    queue_timeout: float | None
    """Seconds that a request may wait for a Python thread; beyond it 503 with Retry-After. 0: no limit."""

    request_timeout: float | None
    """Seconds that an application may take to begin its response. Beyond it the log shows where it is, the
    client gets 504, and RequestTimeout is raised in the application's thread (WSGI), or its task is
    cancelled (ASGI). If it goes on for 5 more seconds, the worker is replaced while its other requests
    finish. WebSockets are left alone. 0: no limit."""

    request_timeout_for: str | Sequence[str] | None
    """Another --request-timeout for a path and all below it, such as /reports=120. The longest path
    counts. May be given several times."""

    request_warning: float | None
    """Seconds after which the log shows where an application is that has not begun its response. 0: never."""

    root_path: str | None
    """URL path that the application is mounted at: WSGI's SCRIPT_NAME, ASGI's root_path. A WSGI
    application answers 404 outside it; for an ASGI application it is put before paths that lack it."""
