"""The table of settings: complete, and each verdict kept."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ironbridge._compat
from ironbridge._compat import config, docs
from ironbridge._compat.reading import own_options
from ironbridge._compat.setting import Verdict
from ironbridge._compat.settings import DIRTY_HOOKS, HOOKS, SECTIONS, SETTINGS

from .gunicorn_settings import KNOWN_SETTINGS

Load = Callable[..., config.Configuration]
Fails = Callable[..., str]

GIVEN_ELSEWHERE = {"check", "control_socket", "reload", "reload_extra", "log_file", "name"}
"""Options that need not be in the types that are installed."""

EXAMPLES: dict[str, tuple[str, dict[str, object]]] = {
    "wsgi_app": ("'shop.wsgi:app'", {"app": "shop.wsgi:app"}),
    "backlog": ("64", {"backlog": 64}),
    "workers": ("3", {"workers": 3}),
    "threads": ("3", {"threads": 3}),
    "worker_connections": ("3", {"max_connections": 3}),
    "max_requests": ("3", {"max_requests": 3}),
    "max_requests_jitter": ("3", {"max_requests_jitter": 3}),
    "timeout": ("0", {"request_timeout": 0}),
    "graceful_timeout": ("3", {"graceful_timeout": 3}),
    "keepalive": ("0", {"keep_alive": 0}),
    "asgi_loop": ("'uvloop'", {"loop": "uvloop"}),
    "asgi_lifespan": ("'OFF'", {"lifespan": "off"}),
    "websocket_max_message_size": ("0", {"ws_max_size": 1 << 40}),
    "limit_request_line": ("0", {"limit_request_line": 1 << 20}),
    "limit_request_fields": ("32768", {"limit_request_fields": 10_000}),
    "limit_request_field_size": ("1000", {"limit_request_head": 100 * 1002 + 4}),
    "reload": ("True", {"reload": True}),
    "reload_extra_files": ("['*.html', __file__]", {}),
    "check_config": ("True", {"check": True}),
    "print_config": ("True", {"check": True}),
    "preload_app": ("True", {"preload": True}),
    "pidfile": ("'/run/x.pid'", {"pid_file": "/run/x.pid"}),
    "user": ("'root'", {"user": "root"}),
    "group": ("0", {"group": "0"}),
    "umask": ("0o027", {"umask": "027"}),
    "pythonpath": ("'a, /b'", {"pythonpath": ["a", "/b"]}),
    "root_path": ("'/shop'", {"root_path": "/shop"}),
    "accesslog": ("'-'", {"access_log": "-"}),
    "access_log_format": ("'%(h)s'", {"access_log_format": "%(h)s"}),
    "errorlog": ("'/var/log/x'", {"log_file": "/var/log/x"}),
    "loglevel": ("'CRITICAL'", {"log_level": "error"}),
    "proc_name": ("'shop'", {"name": "shop"}),
    "control_socket": ("'/run/x.ctl'", {"control_socket": "/run/x.ctl"}),
    "default_proc_name": ("'shop'", {"name": "shop"}),
}
"""A value of each setting that becomes an option, and the option."""

IGNORED = {
    "asgi_disconnect_grace_period": "0",
    "http_parser": "'python'",
    "reload_engine": "'poll'",
    "spew": "True",
    "sendfile": "False",
    "reuse_port": "True",
    "worker_tmp_dir": "'/dev/shm'",
    "tmp_upload_dir": "'/tmp'",
    "secure_scheme_headers": "{}",
    "forwarded_allow_ips": "'*'",
    "forwarder_headers": "'REMOTE_USER'",
    "header_map": "'dangerous'",
    "proxy_allow_ips": "'*'",
    "uwsgi_allow_ips": "'*'",
    "logger_class": "'shop.logs.Logger'",
    "disable_redirect_access_to_syslog": "True",
    "syslog": "True",
    "syslog_addr": "'udp://logs:514'",
    "syslog_prefix": "'shop'",
    "syslog_facility": "'local0'",
    "enable_stdio_inheritance": "True",
    "statsd_host": "'localhost:8125'",
    "dogstatsd_tags": "'a:b'",
    "statsd_prefix": "'shop'",
    "enable_backlog_metric": "True",
    "ssl_version": "5",
    "suppress_ragged_eofs": "False",
    "do_handshake_on_connect": "True",
    "ciphers": "'TLSv1'",
    "http_protocols": "'h2,h1'",
    "http2_max_concurrent_streams": "1",
    "http2_initial_window_size": "1",
    "http2_max_frame_size": "16385",
    "http2_max_header_list_size": "1",
    "control_socket_mode": "0o660",
    "dirty_workers": "1",
    "dirty_timeout": "1",
    "dirty_threads": "2",
    "dirty_graceful_timeout": "1",
}
REFUSED = {
    "daemon": "True",
    "paste": "'shop.ini'",
    "raw_paste_global_conf": "['a=b']",
    "proxy_protocol": "True",
    "protocol": "'uwsgi'",
    "permit_obsolete_folding": "True",
    "strip_header_spaces": "True",
    "permit_unconventional_http_method": "True",
    "permit_unconventional_http_version": "True",
    "casefold_http_method": "True",
    "keyfile": "'x.key'",
    "certfile": "'x.pem'",
    "ca_certs": "'x.pem'",
    "cert_reqs": "2",
    "http2_cleartext": "'both'",
    "dirty_apps": "['shop:App']",
    "ssl_context": "lambda conf, factory: factory(); keyfile = 'x.key'",
}
NO_OPTION = {"config", "chdir", "bind", "worker_class", "initgroups", "raw_env", "control_socket_disable"}
"""Settings that tests of their own are about, or that need nothing."""
LOGGING = {"capture_output", "logconfig", "logconfig_dict", "logconfig_json"}


def test_the_table_is_complete() -> None:
    assert {name: setting.flags for name, setting in SETTINGS.items()} == KNOWN_SETTINGS


def test_every_setting_has_an_example() -> None:
    hooks = HOOKS | DIRTY_HOOKS
    assert set(SETTINGS) == {*EXAMPLES, *IGNORED, *REFUSED, *NO_OPTION, *LOGGING, *hooks}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_setting_becomes_an_option(name: str, load: Load) -> None:
    written, expected = EXAMPLES[name]
    given = {item.option: item.value for item in load(f"{name} = {written}").given}
    if name == "reload_extra_files":
        expected = {"reload_extra": ["*.html", os.path.abspath("gunicorn.conf.py")]}
    assert given == expected


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_ignored_is_said(name: str, load: Load) -> None:
    configuration = load(f"{name} = {IGNORED[name]}")
    assert configuration.given == []
    assert len(configuration.warnings) == 1
    assert configuration.warnings[0].startswith(f"gunicorn.conf.py, line 1: {name}: ignored: ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_an_error(name: str, fails: Fails) -> None:
    assert fails(f"{name} = {REFUSED[name]}").startswith(f"gunicorn.conf.py, line 1: {name}: refused: ")


@pytest.mark.parametrize("name", sorted({"worker_connections", "timeout", "limit_request_field_size"}))
def test_what_is_approximate_is_said(name: str, load: Load) -> None:
    assert len(load(f"{name} = 7").warnings) == 1


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in HOOKS | DIRTY_HOOKS | {"ssl_context"}])
def test_defaults_are_never_worth_a_warning(name: str, load: Load) -> None:
    default = SETTINGS[name].default
    default = default() if callable(default) else default
    configuration = load(f"{name} = {default!r}")
    assert configuration.warnings == []
    assert config.load(None, None).given == []


def test_switching_off_what_is_refused_is_fine(load: Load) -> None:
    for line in (
        "certfile = ''",
        "keyfile = None",
        "proxy_protocol = 'off'",
        "proxy_protocol = False",
        "daemon = 'false'",
    ):
        assert load(line).warnings == []


def test_an_upgrade_to_http2_is_ignored_where_prior_knowledge_is_refused(load: Load, fails: Fails) -> None:
    assert "ignored" in load("http2_cleartext = 'upgrade'").warnings[0]
    assert "refused" in fails("http2_cleartext = True")


def test_a_context_for_tls_is_never_called_without_a_certificate(load: Load) -> None:
    configuration = load("def ssl_context(conf, default_ssl_context_factory): pass")
    assert configuration == config.Configuration()


def test_a_control_socket_can_be_switched_off(load: Load) -> None:
    assert load("control_socket = '/run/x.ctl'\ncontrol_socket_disable = True") == config.Configuration()


def test_the_process_name_counts_more_than_its_default(load: Load) -> None:
    given = load("proc_name = 'a'\ndefault_proc_name = 'b'").given
    assert [(item.option, item.value) for item in given] == [("name", "a")]


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("'localhost'", ["localhost:8000"]),
        ("'127.0.0.1:80'", ["127.0.0.1:80"]),
        ("':80'", ["0.0.0.0:80"]),
        ("['']", ["0.0.0.0:8000"]),
        ("'[::1]'", ["[::1]:8000"]),
        ("'[::1]:80'", ["[::1]:80"]),
        ("'tcp://a.example:80'", ["a.example:80"]),
        ("'fd://3'", ["fd://3"]),
        ("('a:1', 'b:2')", ["a:1", "b:2"]),
        ("'Host:1'", ["host:1"]),
    ],
)
def test_addresses(bind: str, expected: list[str], load: Load) -> None:
    assert [(item.option, item.value) for item in load(f"bind = {bind}").given] == [("bind", expected)]


@pytest.mark.parametrize("bind", ["'a:b'", "'fd://x'", "7", "['a', 7]"])
def test_what_is_no_address_is_an_error(bind: str, fails: Fails) -> None:
    assert "gunicorn.conf.py, line 1: bind: invalid value" in fails(f"bind = {bind}")


@pytest.mark.parametrize(
    ("lines", "mode"),
    [("", "777"), ("umask = 0o007", "770"), ("umask = '0117'", "660"), ("unix_socket_mode = '600'", "600")],
)
def test_unix_sockets_have_the_permissions_that_gunicorn_gives_them(lines: str, mode: str, load: Load) -> None:
    for spelling in ("unix:/run/x.sock", "unix:///run/x.sock"):
        given = {item.option: item.value for item in load(f"bind = '{spelling}'\n{lines}").given}
        assert given["bind"] == ["unix:/run/x.sock"]
        assert given["unix_socket_mode"] == mode


def test_unix_sockets_belong_to_the_group(load: Load) -> None:
    given = {item.option: item.value for item in load("bind = 'unix:/run/x.sock'\ngroup = 'root'").given}
    assert given["unix_socket_group"] == "root"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("worker_class = 'sync'", {"threads": 1}),
        ("worker_class = 'gunicorn.workers.sync.SyncWorker'", {"threads": 1}),
        ("worker_class = 'egg:gunicorn#sync'\nthreads = 4", {"threads": 4}),
        ("worker_class = 'gthread'\nthreads = 4", {"threads": 4}),
        ("worker_class = 'gthread'", {"threads": 1}),
        ("worker_class = 'gevent'", {"threads": 512}),
        ("worker_class = 'gevent'\nthreads = 4\nworker_connections = 10", {"threads": 10, "max_connections": 10}),
        ("worker_class = 'asgi'\nthreads = 4", {"interface": "asgi"}),
        ("worker_class = 'uvicorn_worker.UvicornWorker'", {"interface": "asgi"}),
        ("worker_class = 'uvicorn.workers.UvicornH11Worker'", {"interface": "asgi", "loop": "asyncio"}),
        ("def worker_class(): return 'sync'", {"threads": 1}),
    ],
)
def test_worker_classes(lines: str, expected: dict[str, object], load: Load) -> None:
    assert {item.option: item.value for item in load(lines).given} == expected


def test_subclasses_of_uvicorns_worker_are_taken_for_it(clean: Path, load: Load) -> None:
    (clean / "own_workers.py").write_text(
        "class Own:\n    CONFIG_KWARGS = {'loop': 'uvloop', 'http': 'h11', 'headers': []}\n"
    )
    configuration = load("worker_class = 'own_workers.Own'")
    assert {item.option: item.value for item in configuration.given} == {"interface": "asgi", "loop": "uvloop"}
    assert "own_workers.Own is taken for Uvicorn's worker; its headers is not read" in configuration.warnings[0]


@pytest.mark.parametrize(
    "name", ["tornado", "aiohttp.GunicornWebWorker", "shop.workers.Own", "meinheld.gmeinheld.Worker"]
)
def test_other_worker_classes_are_refused(name: str, fails: Fails) -> None:
    assert "worker_class: refused: " in fails(f"worker_class = {name!r}")


def test_folders_must_exist(clean: Path, load: Load, fails: Fails) -> None:
    (clean / "site").mkdir()
    assert load("chdir = 'site'").given[0].value == str(clean / "site")
    assert "chdir: invalid value 'nowhere': expected a folder that exists" in fails("chdir = 'nowhere'")


def test_unknown_levels_are_info(load: Load) -> None:
    configuration = load("loglevel = 'chatty'")
    assert configuration.given[0].value == "info"
    assert "no such level" in configuration.warnings[0]


def test_options_are_options_of_ours() -> None:
    known = {*own_options(), *GIVEN_ELSEWHERE}
    for setting in SETTINGS.values():
        assert set(filter(None, setting.rule.option.split(", "))) <= known, setting.name


def test_a_rule_without_an_option_says_why() -> None:
    for setting in SETTINGS.values():
        if setting.rule.verdict is not Verdict.EXACT:
            assert setting.rule.why, setting.name


def test_nothing_imports_the_server() -> None:
    """At the top of a module: functions may."""
    for path in Path(ironbridge._compat.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("ironbridge") for alias in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, path
                assert not (node.module or "").startswith("ironbridge"), path


def test_the_documentation_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "gunicorn.md"
    text = page.read_text()
    assert docs.page(text) == text, "python -m ironbridge._compat.docs docs/gunicorn.md"
    assert len(SECTIONS) == text.count("\n### ")
