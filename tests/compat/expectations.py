"""What is expected of the files in `confs/`, which are written in the manner of real ones.

They run with no variables set but those of `ENVIRONMENT`, and with `stand_ins/` among the folders of modules.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field
from pathlib import Path

CONFS = Path(__file__).with_name("confs")
STAND_INS = Path(__file__).with_name("stand_ins")
CPUS = multiprocessing.cpu_count()
COMMON_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'


@dataclass(frozen=True)
class Expected:
    """What a file becomes.

    Attributes:
        options: Our options, all of them.
        warnings: Which settings there are warnings about, in their order.
        hooks: Which hooks there are.
        environment: Variables that it sets.
        logging: Whether it configures Python's logging.
    """

    options: dict[str, object]
    warnings: list[str] = field(default_factory=list)
    hooks: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    logging: bool = False


EXPECTED = {
    "django_tutorial": Expected(
        {
            "app": "site_app:application",
            "log_level": "debug",
            "workers": 2,
            "bind": ["0.0.0.0:8000"],
            "reload": True,
            "access_log": "-",
            "log_file": "-",
        }
    ),
    "cpu_count": Expected(
        {
            "bind": ["127.0.0.1:8000"],
            "workers": CPUS * 2 + 1,
            "threads": 2,
            "request_timeout": 60,
            "keep_alive": 5,
        },
        ["timeout"],
    ),
    "heroku": Expected(
        {
            "bind": ["[::]:5006"],
            "keep_alive": 100,
            "threads": 5,
            "preload": True,
            "graceful_timeout": 20,
            "request_timeout": 20,
            "access_log_format": 'gunicorn.access method=%(m)s path="%(U)s" status=%(s)s duration=%(M)sms '
            "request_id=%({x-request-id}i)s",
            "access_log": "-",
        },
        ["timeout", "reuse_port"],
        {"pre_request"},
    ),
    "docker_image": Expected(
        {
            "log_level": "info",
            "workers": max(CPUS, 2),
            "bind": ["0.0.0.0:80"],
            "log_file": "-",
            "access_log": "-",
            "graceful_timeout": 120,
            "request_timeout": 120,
            "keep_alive": 5,
        },
        ["worker_tmp_dir", "timeout"],
    ),
    "uvicorn_worker": Expected(
        {
            "bind": ["0.0.0.0:8000"],
            "workers": 2,
            "interface": "asgi",
            "request_timeout": 120,
            "graceful_timeout": 30,
            "max_requests": 1000,
            "max_requests_jitter": 50,
            "access_log": "-",
            "name": "api",
        },
        ["timeout", "forwarded_allow_ips"],
    ),
    "nginx_unix_socket": Expected(
        {
            "bind": ["unix:/run/site/gunicorn.sock"],
            "unix_socket_mode": "770",
            "umask": "007",
            "pid_file": "/run/site/gunicorn.pid",
            "workers": 3,
            "max_connections": 1000,
            "backlog": 512,
            "chdir": str(CONFS),
            "pythonpath": [str(CONFS), str(CONFS / "apps")],
            "limit_request_line": 8190,
            "limit_request_fields": 50,
            "limit_request_head": 50 * 4098 + 4,
        },
        ["limit_request_field_size"],
    ),
    "gevent_workers": Expected(
        {
            "threads": 200,
            "workers": CPUS,
            "max_connections": 200,
            "bind": ["0.0.0.0:5000"],
            "request_timeout": 300,
            "log_level": "warn",
        },
        ["worker_class", "worker_connections", "timeout"],
    ),
    "socketio_eventlet": Expected(
        {"bind": ["0.0.0.0:5000", "[::1]:5000"], "workers": 1, "threads": 512, "keep_alive": 75}, ["worker_class"]
    ),
    "prometheus": Expected({"bind": ["0.0.0.0:8000"], "workers": 2, "threads": 4}, [], {"on_starting", "child_exit"}),
    "datadog": Expected(
        {"bind": ["0.0.0.0:8000"], "workers": 4, "threads": 8, "preload": True},
        ["statsd_host", "statsd_prefix", "dogstatsd_tags"],
        {"post_fork", "worker_exit"},
    ),
    "preload_database": Expected(
        {
            "bind": ["0.0.0.0:8000"],
            "workers": 3,
            "threads": 4,
            "preload": True,
            "max_requests": 2000,
            "max_requests_jitter": 400,
        },
        [],
        {"when_ready", "post_fork", "pre_fork"},
    ),
    "logging_dict": Expected(
        {"bind": ["0.0.0.0:9000"], "workers": 2, "access_log": "-"}, ["logconfig_dict"], logging=True
    ),
    "json_access_log": Expected(
        {
            "bind": ["0.0.0.0:8080"],
            "workers": 2,
            "threads": 1,
            "log_file": "-",
            "access_log": "-",
            "access_log_format": '{"remote_ip": "%(h)s", "request_id": "%({X-Request-Id}i)s", '
            '"response_code": "%(s)s", "request_method": "%(m)s", "request_path": "%(U)s", '
            '"request_querystring": "%(q)s", "request_timetaken": "%(D)s", "response_length": "%(B)s", '
            '"content_type": "%({Content-Type}o)s"}',
        },
        ["log_format"],
    ),
    "thread_dump": Expected(
        {"bind": ["0.0.0.0:8000"], "workers": 2, "threads": 4, "request_timeout": 90},
        ["timeout", "worker_abort"],
        {"worker_int", "worker_abort"},
    ),
    "scheduler": Expected({"bind": ["0.0.0.0:8000"], "workers": 2, "threads": 8}, [], {"when_ready", "on_exit"}),
    "worker_ids": Expected(
        {"bind": ["0.0.0.0:8000"], "workers": 3, "threads": 4},
        [],
        {"on_starting", "pre_fork", "post_fork", "child_exit", "on_reload", "nworkers_changed"},
    ),
    "recycling": Expected(
        {
            "bind": ["0.0.0.0:8000"],
            "workers": 2,
            "threads": 4,
            "max_requests": 1000,
            "max_requests_jitter": 100,
            "request_timeout": 60,
            "keep_alive": 65,
        },
        ["timeout", "worker_tmp_dir"],
    ),
    "ready_file": Expected(
        {
            "bind": ["unix:/tmp/nginx.socket"],
            "unix_socket_mode": "777",
            "workers": 2,
            "threads": 4,
            "preload": True,
        },
        [],
        {"when_ready", "on_exit"},
    ),
    "request_timing": Expected(
        {"bind": ["0.0.0.0:8000"], "workers": 2, "threads": 4},
        [],
        {"pre_request", "post_request", "post_worker_init"},
    ),
    "official_example": Expected(
        {
            "bind": ["127.0.0.1:8000"],
            "backlog": 2048,
            "workers": 1,
            "threads": 1,
            "max_connections": 1000,
            "request_timeout": 30,
            "keep_alive": 2,
            "umask": "000",
            "log_file": "-",
            "log_level": "info",
            "access_log_format": COMMON_FORMAT,
        },
        ["worker_abort"],
        {"post_fork", "pre_fork", "pre_exec", "when_ready", "worker_int", "worker_abort"},
        {"DJANGO_SECRET_KEY": "something", "SPAM": "eggs=ham"},
    ),
    "kubernetes": Expected(
        {
            "bind": ["0.0.0.0:8080"],
            "workers": 1,
            "threads": 16,
            "graceful_timeout": 60,
            "max_requests": 0,
            "log_level": "info",
        },
        ["worker_tmp_dir", "forwarded_allow_ips", "secure_scheme_headers"],
    ),
    "mistaken": Expected(
        {"bind": ["0.0.0.0:8000"], "threads": 4, "keep_alive": 65, "preload": True}, ["worker", "workers_class"]
    ),
}
