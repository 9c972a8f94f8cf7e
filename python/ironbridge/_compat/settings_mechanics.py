"""Settings of Gunicorn about the system and proxies: its headings Server Mechanics, Process Naming, Control."""

from __future__ import annotations

import os
from functools import partial

from . import limits, values
from .setting import (
    BOOLEAN,
    LIST,
    NUMBER,
    TEXT,
    Choice,
    Choices,
    Flag,
    Kind,
    Outcome,
    Setting,
    Verdict,
    exact,
    ignored,
    needless,
    refused,
    ruled,
)

FORWARDED = "X-Forwarded-* headers are not evaluated yet: wsgi.url_scheme and REMOTE_ADDR are those of the connection"
SCHEME_HEADERS = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
NETWORKS = Kind(values.networks)
PROTOCOL = "only HTTP is spoken: in nginx, write proxy_pass for uwsgi_pass"
PROXY_PROTOCOL = "the PROXY protocol is not understood, so every request would be refused"
PASTE = "make a module that calls paste.deploy.loadapp(), and name it"
LENIENT = "it lets requests through that servers before or behind this one read in another way"
CONTROL = "`ironbridge status` and its kin talk to it; gunicornc does not"
HEARTBEAT = "there is no heartbeat file"


def _protocol(choice: Choice, choices: Choices) -> Outcome:
    if choice.value in (None, "http"):
        return Outcome(Verdict.EXACT)
    return Outcome(Verdict.REFUSED, {}, PROTOCOL)


def _control_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = runtime if runtime and os.path.isdir(runtime) else os.path.expanduser("~/.gunicorn")
    return os.path.join(folder, "gunicorn.ctl")


def _control(choice: Choice, choices: Choices) -> Outcome:
    if not choice.value or choices.value("control_socket_disable"):
        return Outcome(Verdict.EXACT)
    return Outcome(Verdict.APPROXIMATE, {"control_socket": choice.value}, CONTROL)


def _octal(mode: int) -> str:
    return f"{mode:03o}"


def _written(option: str, choice: Choice, choices: Choices) -> Outcome:
    """As it was written: a name rather than its number."""
    return Outcome(Verdict.EXACT, {} if choice.written is None else {option: str(choice.written)})


def _paths(paths: str) -> list[str]:
    return [path.strip() for path in paths.split(",") if path.strip()]


SERVER_MECHANICS = (
    Setting("preload_app", ("--preload",), BOOLEAN, False, exact("preload")),
    Setting(
        "sendfile",
        ("--no-sendfile",),
        Kind(values.boolean, Flag.FALSE),
        None,
        ignored("regular files are always sent by the kernel"),
    ),
    Setting(
        "reuse_port",
        ("--reuse-port",),
        BOOLEAN,
        False,
        ignored("all workers accept from one listener, which loses no connection when a worker ends"),
    ),
    Setting("chdir", ("--chdir",), Kind(values.folder), values.working_folder, exact("chdir")),
    Setting(
        "daemon",
        ("-D", "--daemon"),
        BOOLEAN,
        False,
        refused("run it under systemd"),
    ),
    Setting("raw_env", ("-e", "--env"), LIST, (), needless("the variables are set before the application is imported")),
    Setting("pidfile", ("-p", "--pid"), TEXT, None, exact("pid_file")),
    Setting("worker_tmp_dir", ("--worker-tmp-dir",), TEXT, None, ignored(HEARTBEAT)),
    Setting(
        "user",
        ("-u", "--user"),
        Kind(values.user),
        os.geteuid,
        ruled(Verdict.EXACT, "user", "", partial(_written, "user")),
    ),
    Setting(
        "group",
        ("-g", "--group"),
        Kind(values.group),
        os.getegid,
        ruled(Verdict.EXACT, "group", "", partial(_written, "group")),
    ),
    Setting("umask", ("-m", "--umask"), NUMBER, 0, exact("umask", _octal)),
    Setting("initgroups", ("--initgroups",), BOOLEAN, False, needless("workers always have the groups of their user")),
    Setting("tmp_upload_dir", (), TEXT, None, ignored("Gunicorn does not use it either; $TMPDIR counts")),
    Setting("secure_scheme_headers", (), Kind(values.mapping), lambda: SCHEME_HEADERS, ignored(FORWARDED)),
    Setting(
        "forwarded_allow_ips",
        ("--forwarded-allow-ips",),
        NETWORKS,
        values.environment("FORWARDED_ALLOW_IPS", "127.0.0.1,::1"),
        ignored(FORWARDED),
    ),
    Setting(
        "forwarder_headers",
        ("--forwarder-headers",),
        Kind(values.comma_list),
        "SCRIPT_NAME,PATH_INFO",
        ignored("no header of a proxy sets SCRIPT_NAME or PATH_INFO; root_path says where the application is mounted"),
    ),
    Setting(
        "header_map",
        ("--header-map",),
        Kind(values.one_of("drop", "refuse", "dangerous")),
        "drop",
        ignored("X-Forwarded-* headers are not evaluated yet, so no header is mapped for a proxy's sake"),
    ),
    Setting("pythonpath", ("--pythonpath",), TEXT, None, exact("pythonpath", _paths)),
    Setting("paste", ("--paste", "--paster"), TEXT, None, refused(PASTE)),
    Setting(
        "raw_paste_global_conf",
        ("--paste-global",),
        LIST,
        (),
        refused(PASTE),
    ),
    Setting(
        "proxy_protocol",
        ("--proxy-protocol",),
        Kind(values.switch("off", "auto", "v1", "v2"), Flag.OPTIONAL),
        "off",
        refused(PROXY_PROTOCOL),
    ),
    Setting(
        "proxy_allow_ips", ("--proxy-allow-from",), NETWORKS, "127.0.0.1,::1", ignored("it is about proxy_protocol")
    ),
    Setting(
        "protocol",
        ("--protocol",),
        TEXT,
        "http",
        ruled(Verdict.REFUSED, "", PROTOCOL, _protocol),
    ),
    Setting("uwsgi_allow_ips", ("--uwsgi-allow-from",), NETWORKS, "127.0.0.1,::1", ignored("it is about protocol")),
    *(
        Setting(
            name,
            (f"--{name.replace('_', '-')}",),
            BOOLEAN,
            False,
            refused(LENIENT),
        )
        for name in (
            "permit_obsolete_folding",
            "strip_header_spaces",
            "permit_unconventional_http_method",
            "permit_unconventional_http_version",
            "casefold_http_method",
        )
    ),
    Setting("root_path", ("--root-path",), TEXT, "", exact("root_path")),
)

PROCESS_NAMING = (
    Setting("proc_name", ("-n", "--name"), TEXT, None, exact("name")),
    Setting("default_proc_name", (), TEXT, "gunicorn", ruled(Verdict.EXACT, "name", "unless proc_name", limits.name)),
)

CONTROL_SOCKET = (
    Setting(
        "control_socket",
        ("--control-socket",),
        TEXT,
        _control_socket,
        ruled(Verdict.APPROXIMATE, "control_socket", CONTROL, _control),
    ),
    Setting(
        "control_socket_mode",
        ("--control-socket-mode",),
        NUMBER,
        0o600,
        ignored("only the user of the server may use it"),
    ),
    Setting(
        "control_socket_disable",
        ("--no-control-socket",),
        BOOLEAN,
        False,
        needless("there is none unless it is asked for"),
    ),
)
