"""Which file is executed and how, what wins over what, and what errors say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ironbridge._compat import config
from ironbridge._compat.check import check, examine

Load = Callable[..., config.Configuration]
Fails = Callable[..., str]
Write = Callable[[str], str]


def options(configuration: config.Configuration) -> dict[str, object]:
    return {given.option: given.value for given in configuration.given}


def test_values_are_taken_from_text(load: Load) -> None:
    text = "workers = '4'\numask = '0o27'\npreload_app = 'True'\nbacklog = '0x10'\nproc_name = ' shop '"
    assert options(load(text)) == {"workers": 4, "umask": "027", "preload": True, "backlog": 16, "name": "shop"}


def test_a_place_names_file_and_setting(load: Load) -> None:
    configuration = load("workers = 4", "--threads 3 -b :80")
    assert {given.place for given in configuration.given} == {
        "gunicorn.conf.py: workers",
        "GUNICORN_CMD_ARGS: --threads",
        "GUNICORN_CMD_ARGS: --bind",
    }


def test_arguments_win_over_the_file(load: Load) -> None:
    assert options(load("workers = 4\nthreads = 2\nbind = ':1'", "-w 3 --bind :2 --bind :3")) == {
        "workers": 3,
        "threads": 2,
        "bind": ["0.0.0.0:2", "0.0.0.0:3"],
    }


def test_arguments_may_be_abbreviated_and_quoted(load: Load) -> None:
    arguments = "--access-logfi - --pre --access-logformat '%(h)s \"%(r)s\"' --name='my shop'"
    assert options(load("", arguments)) == {
        "access_log": "-",
        "preload": True,
        "access_log_format": '%(h)s "%(r)s"',
        "name": "my shop",
    }


def test_arguments_may_name_the_file(conf: Write, clean: Path) -> None:
    conf("workers = 4")
    assert options(config.load(None, "-c gunicorn.conf.py")) == {"workers": 4}
    (clean / "other.py").write_text("workers = 5")
    assert options(config.load("other.py", "--config gunicorn.conf.py")) == {"workers": 5}


def test_without_a_file_none_is_looked_for(conf: Write) -> None:
    conf("workers = 4")
    assert config.load(None, None) == config.Configuration()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--nonsense", "GUNICORN_CMD_ARGS: unrecognized arguments: --nonsense"),
        ("--log x", "GUNICORN_CMD_ARGS: ambiguous option: --log could match"),
        ("--workers", "GUNICORN_CMD_ARGS: -w/--workers: expected one argument"),
        ("--workers x", "GUNICORN_CMD_ARGS: --workers: invalid value 'x': expected a whole number"),
        ("--certfile x", "GUNICORN_CMD_ARGS: --certfile: refused: TLS"),
        ("--proxy-protocol", "GUNICORN_CMD_ARGS: --proxy-protocol: refused"),
        ("-b '", "GUNICORN_CMD_ARGS: no closing quotation"),
    ],
)
def test_wrong_arguments(arguments: str, expected: str, fails: Fails) -> None:
    assert fails("", arguments).startswith(expected)


def test_a_file_may_be_named_in_three_ways(conf: Write, clean: Path) -> None:
    name = conf("workers = 4")
    (clean / "conf_module.py").write_text("workers = 5")
    assert options(config.load(f"file:{name}", None)) == {"workers": 4}
    assert options(config.load(str(clean / name), None)) == {"workers": 4}
    configuration = config.load("python:conf_module", None)
    assert configuration.given == [config.Given("workers", 5, "python:conf_module: workers")]


def test_a_file_may_have_any_ending(clean: Path) -> None:
    (clean / "gunicorn.conf").write_text("workers = 4")
    assert options(config.load("gunicorn.conf", None)) == {"workers": 4}


@pytest.mark.parametrize("location", ["gunicorn.conf.py", "python:again"])
def test_a_file_is_executed_every_time_afresh(location: str, clean: Path) -> None:
    path = clean / ("again.py" if location.startswith("python:") else location)
    for workers in range(1, 4):
        path.write_text(f"workers = {workers}")
        assert options(config.load(location, None)) == {"workers": workers}
    assert [item.name for item in clean.iterdir()] == [path.name]


def test_a_file_knows_itself_and_its_neighbours(clean: Path, load: Load) -> None:
    (clean / "neighbour.py").write_text("count = 7")
    configuration = load(
        "import neighbour, os\nworkers = neighbour.count\nproc_name = os.path.basename(__file__) + __name__"
    )
    assert options(configuration) == {"workers": 7, "name": "gunicorn.conf.py__config__"}
    sys.modules.pop("neighbour")


def test_the_folder_is_changed_before_the_file_runs_and_the_path_is_relative_to_the_start(
    conf: Write, clean: Path
) -> None:
    (clean / "site").mkdir()
    name = conf("import os\nproc_name = os.getcwd()")
    assert options(config.load(name, None, chdir="site")) == {"name": str(clean / "site")}
    assert os.getcwd() == str(clean / "site")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\nworkers = 'many'", "gunicorn.conf.py, line 2: workers: invalid value 'many': expected a whole number"),
        ("workers = -1", "gunicorn.conf.py, line 1: workers: invalid value -1: expected a whole number, 0 or more"),
        ("workers = 1.5", "gunicorn.conf.py, line 1: workers: invalid value 1.5: expected a whole number"),
        ("workers = None", "gunicorn.conf.py, line 1: workers: invalid value None: expected a whole number"),
        ("preload_app = 'yes'", "gunicorn.conf.py, line 1: preload_app: invalid value 'yes': expected True or False"),
        ("preload_app = 1", "gunicorn.conf.py, line 1: preload_app: invalid value 1: expected True or False"),
        ("proc_name = 7", "gunicorn.conf.py, line 1: proc_name: invalid value 7: expected text"),
        ("user = 'nobody-at-all'", "gunicorn.conf.py, line 1: user: invalid value 'nobody-at-all': expected a user"),
        ("raw_env = ['A']", "gunicorn.conf.py, line 1: raw_env: invalid value 'A': expected NAME=value"),
        (
            "forwarded_allow_ips = 'all'",
            "gunicorn.conf.py, line 1: forwarded_allow_ips: invalid value 'all': expected IP",
        ),
        (
            "if True:\n  try:\n    pass\n  finally:\n    backlog = 'x'",
            "gunicorn.conf.py, line 5: backlog: invalid value",
        ),
        ("workers = (\n", "gunicorn.conf.py, line 1: '(' was never closed"),
        ("import os\n\nworkers = os.environ['NONE']", "gunicorn.conf.py, line 3: workers: KeyError: 'NONE'"),
        ("def f():\n  return 1 / 0\nworkers = f()", "gunicorn.conf.py, line 2: workers: ZeroDivisionError"),
        ("import nowhere", "gunicorn.conf.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("import sys\nsys.exit('no secret')", "gunicorn.conf.py: it ends the process: no secret"),
        ("raise ValueError('two\\nlines')", "gunicorn.conf.py, line 1: ValueError: two lines"),
    ],
)
def test_errors_are_a_line_that_names_the_place(text: str, expected: str, fails: Fails) -> None:
    assert fails(text).startswith(expected)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("nowhere.py", "nowhere.py: No such file or directory"),
        ("python:nowhere", "python:nowhere: there is no such module"),
        ("python:nowhere.at.all", "python:nowhere.at.all: No module named 'nowhere'"),
    ],
)
def test_a_file_that_is_missing(location: str, expected: str, clean: Path) -> None:
    with pytest.raises(config.ConfigurationError) as error:
        config.load(location, None)
    assert str(error.value) == expected


def test_a_file_that_needs_gunicorn_gets_a_hint(monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]:
        monkeypatch.delitem(sys.modules, name)

    class Hidden:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "gunicorn":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    assert fails("from gunicorn.glogging import Logger").endswith("leave the import out, or keep it installed")


def test_our_options_may_stand_in_the_file(load: Load) -> None:
    text = "request_timeout = 20\nmax_memory = '500M'\nrequest_timeout_for = ['/a=1']\nno_date_header = True\napp = 'shop:app'"
    assert options(load(text)) == {
        "request_timeout": 20,
        "max_memory": "500M",
        "request_timeout_for": ["/a=1"],
        "no_date_header": True,
        "app": "shop:app",
    }


def test_where_gunicorn_has_the_name_its_meaning_counts(load: Load) -> None:
    assert options(load("workers = 'auto'\numask = 23")) == {"workers": "auto", "umask": "027"}


def test_a_setting_that_says_the_same_exactly_counts_more_than_our_option(load: Load) -> None:
    configuration = load("log_level = 'debug'\nloglevel = 'error'")
    assert options(configuration) == {"log_level": "error"}
    assert configuration.warnings == ["gunicorn.conf.py, line 1: log_level: ignored: loglevel says 'error'"]
    assert load("log_level = 'warning'\nloglevel = log_level").warnings == []


def test_our_option_counts_more_than_a_setting_that_only_comes_near(load: Load) -> None:
    configuration = load("timeout = 300\nrequest_timeout = 20")
    assert options(configuration) == {"request_timeout": 20}
    assert configuration.warnings == []


def test_a_variable_that_is_called_like_an_option_is_left_alone(load: Load) -> None:
    configuration = load("log_format = '%(message)s'\ninterface = lambda: 1\nloop = object()\napp = object()")
    assert options(configuration) == {}
    assert configuration.warnings == [
        "gunicorn.conf.py, line 1: log_format: '%(message)s' is not one of human, json: ignored"
    ]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("worker = 4", "workers"),
        ("WORKERS = 4", "workers"),
        ("max_request = 4", "max_requests"),
        ("worker_clas = 'gevent'", "worker_class"),
        ("logconfig_dic = {}", "logconfig_dict"),
    ],
)
def test_what_looks_like_a_setting_is_said(text: str, nearest: str, load: Load) -> None:
    (warning,) = load(text).warnings
    assert warning.endswith(f": there is no such setting, ignored; did you mean {nearest}?")


@pytest.mark.parametrize(
    "text",
    [
        "WORKERS = 4\nworkers = WORKERS",
        "_worker = 4",
        "def worker(): pass",
        "import os as worker",
        "cores = 4\nhost = 'x'\nport = 80\nSECRET = 'x'",
        "class Workers: pass",
    ],
)
def test_variables_functions_and_modules_are_not_mistaken_for_settings(text: str, load: Load) -> None:
    assert load(text).warnings == []


def test_variables_for_the_application(load: Load) -> None:
    assert load("raw_env = ['A=b', 'C=d=e', 'F=']").environment == {"A": "b", "C": "d=e", "F": ""}
    assert load("raw_env = ['A=b']", "-e A=c -e D=e").environment == {"A": "c", "D": "e"}


def test_check_shows_each_setting_in_the_order_of_the_file(conf: Write) -> None:
    table = check(
        conf("timeout = 60\nbind = ':80'\ncertfile = 'x'\nspew = True\nmax_memory = '1G'\ndef on_exit(server): pass")
    )
    lines = [line.split() for line in table.splitlines() if line and not line.startswith(" ")]
    assert [line[:2] for line in lines[:-1]] == [
        ["timeout", "approximate"],
        ["bind", "exact"],
        ["certfile", "refused"],
        ["spew", "ignored"],
        ["max_memory", "ours"],
        ["on_exit", "exact"],
    ]
    assert "request-timeout = 60" in table
    assert table.endswith("2 exact, 1 approximate, 1 ignored, 1 refused: the server would not start\n")


def test_check_says_what_looks_like_a_mistake(conf: Write) -> None:
    assert "did you mean workers?" in check(conf("worker = 1"))
    assert examine(conf("")) == ("\nnothing is set\n", True)
    assert examine(conf("daemon = True"))[1] is False
