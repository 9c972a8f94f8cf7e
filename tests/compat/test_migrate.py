"""Command lines and files of other servers as ironbridge.toml."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ironbridge._compat.errors import ConfigurationError
from ironbridge._compat.migrate import migrate
from ironbridge._compat.reading import own_options
from ironbridge._compat.toml import literal
from ironbridge._compat.uvicorn import ADDRESS, FLAGS
from ironbridge._compat.uwsgi_options import OPTIONS

Write = Callable[[str], str]

UVICORN = """
--host --port --uds --fd --reload --reload-dir --reload-include --reload-exclude --reload-delay --workers --loop --http
--http2 --ws --ws-max-size --ws-max-queue --ws-ping-interval --ws-ping-timeout --ws-per-message-deflate --lifespan
--interface --env-file --log-config --log-level --access-log --no-access-log --use-colors --no-use-colors --proxy-headers
--no-proxy-headers --server-header --no-server-header --date-header --no-date-header --forwarded-allow-ips --root-path
--limit-concurrency --backlog --limit-max-requests --limit-max-requests-jitter --timeout-keep-alive
--timeout-graceful-shutdown --timeout-worker-healthcheck --ssl-keyfile --ssl-certfile --ssl-keyfile-password --ssl-version
--ssl-cert-reqs --ssl-ca-certs --ssl-ciphers --header --version --app-dir --h11-max-incomplete-event-size
--reset-contextvars --factory
"""
"""The flags of Uvicorn 0.54."""

ASKED = "uvicorn main:app --no-access-log --timeout-graceful-shutdown 5 --no-proxy-headers"
"""A command line of which nothing is to be said."""


def lines(*arguments: str) -> list[str]:
    """The options of the file, as it writes them."""
    text, _ = migrate(list(arguments))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def command(text: str) -> list[str]:
    return lines(*shlex.split(text))


def report(*arguments: str) -> str:
    return "\n".join(migrate(list(arguments))[1])


def ini(folder: Path, text: str) -> str:
    (folder / "shop.ini").write_text(text)
    return "shop.ini"


@pytest.fixture(autouse=True)
def _clean(clean: Path) -> None: ...


def test_the_application_comes_first_and_names_have_dashes(conf: Write) -> None:
    text, _ = migrate([conf("graceful_timeout = 3\nwsgi_app = 'shop:app'\nbind = [':1', ':2']\npreload_app = True")])
    assert text == (
        "# Made by `ironbridge migrate` from gunicorn.conf.py.\n\n"
        'app = "shop:app"\ngraceful-timeout = 3\nbind = ["0.0.0.0:1", "0.0.0.0:2"]\npreload = true\n'
    )


def test_computed_values_say_how(conf: Write) -> None:
    found = lines(conf("import os\nworkers = (1 +\n  2) * 3\nproc_name = os.environ.get('X', 'x')\nbacklog = 7"))
    assert found == [
        "workers = 9  # here and now: (1 + 2) * 3",
        "name = \"x\"  # here and now: os.environ.get('X', 'x')",
        "backlog = 7",
    ]


def test_what_had_no_equal_is_reported(conf: Write) -> None:
    name = conf(
        "timeout = 60\nspew = True\ncertfile = 'x'\nworker = 3\nraw_env = ['A=b', 'C=d']\nlogconfig_dict = {'a': 1}\n"
        "def post_fork(server, worker): pass\ndef on_exit(server): pass\n"
    )
    found = report(name)
    for expected in (
        "gunicorn.conf.py, line 4: worker: there is no such setting",
        "approximate: timeout: ",
        "ignored: spew: ",
        "no equal: certfile: TLS",
        "by hand: raw_env: write these lines to a file, and name it as env-file: A=b, C=d",
        "by hand: logconfig_dict: ",
        "by hand: post_fork, on_exit: hooks cannot be written in TOML; `ironbridge -c gunicorn.conf.py` reads them",
        "by hand: threads: Gunicorn has one",
        "no equal: forwarded_allow_ips: ",
    ):
        assert expected in found
    assert "threads" not in report(conf("threads = 4"))


def test_a_command_line_of_gunicorn() -> None:
    assert command("gunicorn shop.wsgi:app -w 4 -b :80 -k gthread --threads=8 --access-logfile -") == [
        'app = "shop.wsgi:app"',
        'bind = ["0.0.0.0:80"]',
        "workers = 4",
        "threads = 8",
        'access-log = "-"',
    ]


def test_a_command_line_wins_over_the_file_that_it_names_or_that_gunicorn_finds(conf: Write, clean: Path) -> None:
    conf("workers = 4\nbacklog = 9")
    assert command("gunicorn shop -w 5") == ['app = "shop"', "workers = 5", "backlog = 9"]
    (clean / "other.py").write_text("backlog = 8")
    assert command("gunicorn shop -c other.py") == ['app = "shop"', "backlog = 8"]


@pytest.mark.parametrize(
    "start",
    [
        "gunicorn",
        "/usr/bin/gunicorn3",
        "python -m gunicorn",
        "exec poetry run gunicorn",
        "env A=b python3.12 -m gunicorn",
    ],
)
def test_what_starts_the_server_does_not_matter(start: str) -> None:
    assert command(f"{start} shop -w 5") == ['app = "shop"', "workers = 5"]
    assert lines(f"{start} shop -w 5") == ['app = "shop"', "workers = 5"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected a gunicorn.conf.py"),
        (["apache2", "-k"], "apache2 -k: expected a gunicorn.conf.py"),
        (["shop.xml"], "shop.xml: expected a gunicorn.conf.py"),
        (["nowhere.py"], "nowhere.py: No such file or directory"),
        (["nowhere.ini"], "nowhere.ini: No such file or directory"),
        (["gunicorn", "--nonsense"], "command line: unrecognized arguments: --nonsense"),
        (["uvicorn", "a:b", "--nonsense"], "command line of uvicorn: --nonsense: uvicorn has no such option"),
        (["uvicorn", "a:b", "--port"], "command line of uvicorn: --port: needs a value"),
        (["uvicorn", "a:b", "--workers=x"], "command line of uvicorn: --workers: invalid value 'x': expected a number"),
        (
            ["uwsgi", "--processes", "x"],
            "a command line of uwsgi: processes: invalid value 'x': expected a whole number",
        ),
    ],
)
def test_errors_are_a_line(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        migrate(arguments)
    assert str(error.value).startswith(expected)


def test_all_flags_of_uvicorn_are_known() -> None:
    assert {*FLAGS, *ADDRESS} - {"--no-http2", "--no-reset-contextvars"} == set(UVICORN.split())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--host 0.0.0.0 --port 80", ['bind = ["0.0.0.0:80"]']),
        ("--host ::1", ['bind = ["[::1]:8000"]']),
        ("--port 80", ['bind = ["127.0.0.1:80"]']),
        ("--uds /run/x --port 80", ['bind = ["unix:/run/x"]', 'unix-socket-mode = "666"  # as uvicorn makes it']),
        ("--fd 3", ['bind = ["fd://3"]']),
        ("--workers 4 --reload", ["workers = 4", "reload = true"]),
        ("--reload-dir src/ --reload-include '*.html'", ['reload-extra = ["src/**/*.py", "**/*.html"]']),
        ("--root-path /api --factory", ['root-path = "/api"', "factory = true"]),
        ("--loop uvloop --lifespan on --interface asgi3", ['loop = "uvloop"', 'lifespan = "on"', 'interface = "asgi"']),
        ("--loop none", ['loop = "asyncio"']),
        ("--ws-max-size 1 --ws-max-queue 2", ["ws-max-size = 1", "ws-max-queue = 2"]),
        ("--ws-ping-interval 0.5 --ws-ping-timeout=3", ["ws-ping-interval = 0.5", "ws-ping-timeout = 3"]),
        ("--ws-per-message-deflate false", ["no-ws-deflate = true"]),
        ("--ws-per-message-deflate true", []),
        ("--log-level warning", ['log-level = "warn"']),
        ("--no-server-header --no-date-header", ["no-server-header = true", "no-date-header = true"]),
        ("--limit-concurrency 9 --backlog 8", ["max-connections = 9", "backlog = 8"]),
        ("--limit-max-requests 9 --limit-max-requests-jitter 8", ["max-requests = 9", "max-requests-jitter = 8"]),
        ("--timeout-keep-alive 9", ["keep-alive = 9"]),
        ("--app-dir src --env-file .env", ['pythonpath = ["src"]', 'env-file = ".env"']),
        ("--h11-max-incomplete-event-size 99", ["limit-request-head = 99"]),
    ],
)
def test_flags_of_uvicorn(flags: str, expected: list[str]) -> None:
    found = command(f"{ASKED} {flags}")
    assert [line for line in found if line not in ('app = "main:app"', "graceful-timeout = 5")] == expected


def test_uvicorns_defaults_are_said() -> None:
    assert migrate(shlex.split(ASKED))[1] == []
    text, said = migrate(["uvicorn", "main:app"])
    assert 'access-log = "-"  # uvicorn writes one unless --no-access-log' in text
    assert [line.split(": ")[1] for line in said] == ["--timeout-graceful-shutdown", "--proxy-headers"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--ssl-keyfile x", "no equal: --ssl-keyfile: TLS isn't there yet"),
        ("--header A:b", "no equal: --header: "),
        ("--log-config x.yaml", "no equal: --log-config: "),
        ("--forwarded-allow-ips '*'", "no equal: --forwarded-allow-ips: "),
        ("--http h11", "ignored: --http: "),
        ("--ws none", "no equal: --ws: "),
        ("--loop zuvloop", "no equal: --loop: "),
        ("--limit-concurrency 3", "approximate: --limit-concurrency: "),
    ],
)
def test_what_uvicorn_has_alone_is_reported(flags: str, expected: str) -> None:
    (line,) = migrate(shlex.split(f"{ASKED} {flags}"))[1]
    assert line.startswith(expected)


UWSGI = """
; of a Django site
[uwsgi]
project = shop
base = /srv/%(project)

chdir = %(base)
home = %(base)/venv
module = %(project).wsgi
callable = app
master = true
processes = %k
threads = 2
socket = /run/%n.sock
chmod-socket = 664
vacuum
pythonpath = a
pythonpath = b
env = DJANGO_SETTINGS_MODULE=shop.settings
env = A=$(HOME)
uid = www-data
umask = 027
pidfile = /run/%n.pid
harakiri = 60
max-requests = 5000
max-requests-delta = 7
max-worker-lifetime = 3600
reload-on-rss = 200
evil-reload-on-rss = 400
worker-reload-mercy = 9
listen = 512
limit-post = 1000
buffer-size = 32768
post-buffering = 4096
procname-prefix = shop
disable-logging = true
static-map = /static=/srv/static
cheaper-step = 2
touch-reload = /tmp/x
weird = 3

[other]
processes = 77
"""


def test_a_file_of_uwsgi(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert lines(ini(clean, UWSGI)) == [
        'app = "shop.wsgi:app"',
        'chdir = "/srv/shop"',
        "workers = 6",
        "threads = 2",
        'bind = ["unix:/run/shop.sock"]',
        'unix-socket-mode = "664"',
        'pythonpath = ["a", "b"]',
        'user = "www-data"',
        'umask = "027"',
        'pid-file = "/run/shop.pid"',
        "request-timeout = 60",
        "max-requests = 5000",
        "max-requests-jitter = 7",
        "max-lifetime = 3600",
        'max-memory = "200M"',
        'max-memory-hard = "400M"',
        "graceful-timeout = 9",
        "backlog = 512",
        "limit-request-body = 1000",
        'request-buffering = "full"',
        "request-buffer = 4096",
        'name = "shop"',
    ]


def test_what_uwsgi_has_alone_is_reported(clean: Path) -> None:
    found = report(ini(clean, UWSGI))
    for expected in (
        "by hand: home: install ironbridge there, and start /srv/shop/venv/bin/ironbridge",
        "by hand: socket: HTTP is spoken there, not uwsgi: in nginx, proxy_pass http://unix:/run/shop.sock for uwsgi_pass",
        "by hand: env: write this line to a file, and name it as env-file: DJANGO_SETTINGS_MODULE=shop.settings",
        "approximate: harakiri: ",
        "ignored: buffer-size: 64 KiB",
        "no equal: static-map: static files are not served",
        "ignored: cheaper-step: ",
        "by hand: touch-reload: send SIGHUP",
        "no equal: weird: not known",
        "by hand: lazy-apps: ",
    ):
        assert expected in found
    for variable in ("project", "base", "master", "vacuum"):
        assert f": {variable}: " not in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wsgi-file = site/wsgi.py", 'app = "site/wsgi.py:application"'),
        ("module = shop:make()", 'app = "shop:make()"'),
        ("http = :80", 'bind = [":80"]'),
        ("mount = /shop=shop:app\nmanage-script-name = true", 'root-path = "/shop"'),
        ("logto = /var/log/x", 'log-file = "/var/log/x"'),
        ("daemonize = /var/log/x", 'log-file = "/var/log/x"'),
        ("req-logger = file:/var/log/r", 'access-log = "/var/log/r"'),
        ("disable-logging = false", 'access-log = "-"  # uwsgi writes one unless disable-logging'),
        ("module = a", 'access-log = "-"  # uwsgi writes one unless disable-logging'),
        ("gevent = 100", "threads = 100"),
        ("buffer-size = 131072", "limit-request-head = 131072"),
        ("py-autoreload = 1", "reload = true"),
        ("workers = 3", "workers = 3"),
        ("set-placeholder = n=4\nprocesses = %(n)", "workers = 4"),
        ("max_requests = 3", "max-requests = 3"),
    ],
)
def test_options_of_uwsgi(text: str, expected: str, clean: Path) -> None:
    assert expected in lines(ini(clean, f"[uwsgi]\n{text}\n"))


def test_a_command_line_of_uwsgi(clean: Path) -> None:
    assert command("uwsgi --http :9090 -w shop:app -p 4 -M --harakiri=20 -L --lazy-apps --threads 2") == [
        'app = "shop:app"',
        'bind = [":9090"]',
        "workers = 4",
        "request-timeout = 20",
        "threads = 2",
    ]
    ini(clean, "[uwsgi]\nmodule = shop:app\ndisable-logging = true\n")
    assert command("uwsgi --ini shop.ini --processes 3") == ['app = "shop:app"', "workers = 3"]
    assert command("uwsgi shop.ini") == ['app = "shop:app"']


def test_a_file_without_a_section_for_uwsgi(clean: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"shop.ini: there is nothing under \[uwsgi\]"):
        migrate([ini(clean, "[other]\nx = 1\n")])


def test_all_that_is_written_is_an_option_of_ours(clean: Path) -> None:
    known = {name.replace("_", "-") for name in own_options()} | {"reload", "reload-extra", "log-file", "name"}
    written = lines(ini(clean, UWSGI)) + command(f"{ASKED} --reload --reload-dir x --app-dir x --fd 3 --root-path /x")
    assert {re.split(" = ", line)[0] for line in written} <= known
    assert len(OPTIONS) > 70


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ("a", '"a"'),
        ('"\\\n\x7fé', '"\\"\\\\\\n\\u007Fé"'),
        (["a", "b"], '["a", "b"]'),
        ([], "[]"),
    ],
)
def test_values_as_toml_writes_them(value: Any, expected: str) -> None:
    assert literal(value) == expected
