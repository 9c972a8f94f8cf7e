"""What APP may look like, and what is said when it does not load."""

from __future__ import annotations

import signal
import sys

import pytest
from serving import ServerFailed, ServerProcess

from .conftest import WSGI, Project

FACTORY = """
def create_app(name="x", *, debug=True):
    def app(environ, start_response):
        return []
    if name == "bad":
        raise RuntimeError("bad name")
    if (name, debug) == ("nothing", False):
        return None
    return app
"""


@pytest.mark.parametrize(
    ("module", "source", "app"),
    [
        ("hello", WSGI, "hello:app"),
        ("hello", WSGI, "hello"),
        ("hello", WSGI.replace("def app", "def application"), "hello"),
        ("hello", WSGI, "hello.py"),
        ("hello", WSGI, "hello.py:app"),
        ("site/wsgi", WSGI, "site/wsgi.py"),
        ("site/wsgi", WSGI, "./site/wsgi.py:app"),
        ("hello", FACTORY, "hello:create_app()"),
        ("hello", FACTORY, 'hello:create_app("y", debug=False)'),
        ("hello", WSGI + "class holder:\n    inner = app", "hello:holder.inner"),
        ("hello", WSGI + "class Site:\n    __call__ = staticmethod(app)\nsite = Site()", "hello:site"),
    ],
)
def test_forms_that_load(project: Project, module: str, source: str, app: str) -> None:
    project.file(f"{module}.py", source)
    assert f"ok: {app} loads" in project.check(app)


def test_a_file_in_a_package_is_imported_under_its_full_name(project: Project) -> None:
    project.package("shop").package("shop/web", wsgi="from ..settings import app\nassert __name__ == 'shop.web.wsgi'")
    project.write(shop__settings=WSGI)
    assert "ok: " in project.check("shop/web/wsgi.py")


def test_factory_option(project: Project) -> None:
    assert "ok: " in project.write(hello=FACTORY).check("hello:create_app", "--factory")


def test_the_current_folder_comes_first_then_pythonpath(project: Project) -> None:
    project.file("lib/helper.py", WSGI).write(hello="from helper import app\nfrom order import x\nassert x == 'here'")
    project.file("lib/order.py", "x = 'lib'").write(order="x = 'here'")
    assert "ok: " in project.check("hello:app", "--pythonpath", "lib")


def test_chdir(project: Project) -> None:
    project.file("site/hello.py", WSGI + "import os\nassert os.getcwd().endswith('site')")
    assert "ok: " in project.check("hello:app", "--chdir", "site")


@pytest.mark.parametrize(
    ("source", "app", "message"),
    [
        (WSGI, "hello:nope", 'hello.py) has no attribute "nope"; what can be called there: app. For example:'),
        (FACTORY, "hello", 'neither "application" nor "app"; what can be called there: create_app. For example: '),
        (FACTORY, "hello:create_app", "hello:create_app takes no arguments, so it is not an application"),
        ("app = {}", "hello", "is not an application: an object of type dict cannot be called"),
        (FACTORY, 'hello:create_app("nothing", debug=False)', "an object of type NoneType cannot be called"),
        (FACTORY, "hello:create_app(open('x'))", "only literals can be given"),
        ("app = 3", "hello:app()", "is not a factory: an object of type int cannot be called"),
    ],
)
def test_what_is_no_application_is_explained_with_exit_3(project: Project, source: str, app: str, message: str) -> None:
    error = project.write(hello=source).error(app, code=3)
    assert message in error
    assert error.startswith("ironbridge: error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("app", ["my-site:app", "hello:", ":app", "hello:create("])
def test_what_names_nothing_is_a_mistake_with_exit_2(hello: Project, app: str) -> None:
    assert "expected module:" in hello.error(app, code=2)


def test_the_traceback_begins_with_the_users_first_line(project: Project) -> None:
    project.write(hello="import inner\n", inner="def fail():\n    1 / 0\n\nfail()\n")
    lines = project.error("hello:app", code=3).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{project.path}/hello.py", line 1, in <module>'
    assert "ZeroDivisionError: division by zero" in lines
    assert lines[-1] == "ironbridge: error: importing hello failed with ZeroDivisionError"
    assert not [line for line in lines if "importlib" in line or "__main__" in line]


def test_a_factory_that_fails_shows_its_traceback(project: Project) -> None:
    error = project.write(hello=FACTORY).error("hello:create_app('bad')", code=3)
    assert "RuntimeError: bad name" in error
    assert "ironbridge: error: calling hello:create_app failed with RuntimeError" in error


def test_syntax_errors_show_the_line(project: Project) -> None:
    error = project.write(hello="def app(:\n").error("hello", code=3)
    assert 'hello.py", line 1' in error
    assert "SyntaxError" in error


@pytest.mark.parametrize(
    ("files", "app", "hint"),
    [
        ({"other.py": ""}, "hello", "there is no hello.py and no folder hello in {path}: is this the right folder?"),
        ({"src/hello.py": WSGI}, "hello", "hello is not in {path}, but in src: try --chdir src"),
        (
            {"shop/__init__.py": "", "shop/wsgi.py": WSGI},
            "shop.wsgii",
            "there is no wsgii.py in {path}/shop; it has: wsgi",
        ),
        (
            {"hello.py": "import missing_thing.inner"},
            "hello",
            f"missing_thing is not installed in {sys.prefix}: pip install missing_thing",
        ),
        ({"hello.py": "import MySQLdb"}, "hello", f"MySQLdb is not installed in {sys.prefix}: pip install mysqlclient"),
        (
            {"hello.py": "import helper", "lib/helper.py": ""},
            "hello",
            "helper is in the folder lib: try --pythonpath lib",
        ),
        (
            {"pytest.py": "from pytest import Nothing", "hello.py": "import pytest"},
            "hello",
            "{path}/pytest.py hides the installed package pytest (",
        ),
        (
            {"pytest.py": "from pytest import Nothing"},
            "pytest:app",
            "{path}/pytest.py hides the installed package pytest (",
        ),
        (
            {"token.py": "", "hello.py": "import tokenize\ntokenize.NAME\nimport token\ntoken.NAME"},
            "hello",
            "{path}/token.py has the name of a module of Python's own: rename it",
        ),
        (
            {
                "hello.py": "class ImproperlyConfigured(Exception): pass\n"
                "raise ImproperlyConfigured('settings: DJANGO_SETTINGS_MODULE is not set')"
            },
            "hello",
            "Django does not know its settings: set DJANGO_SETTINGS_MODULE",
        ),
    ],
)
def test_hints_name_the_likely_cause(project: Project, files: dict[str, str], app: str, hint: str) -> None:
    for name, text in files.items():
        project.file(name, text)
    # Without a virtual environment of the user's, whose mention would depend on how the tests are run.
    error = project.error(app, code=3, env={"VIRTUAL_ENV": None})
    assert f"ironbridge: hint: {hint.format(path=project.path)}" in error


def test_a_start_within_the_project_is_told_where_it_begins(project: Project) -> None:
    project.package("shop", wsgi="import shop.settings", settings="")
    inside = Project(project.path / "shop")
    assert f"hint: shop is the folder around this one: try --chdir {project.path}" in inside.error("wsgi", code=3)


def test_django_settings_that_do_not_exist_are_no_missing_package(project: Project) -> None:
    project.write(hello="import nowhere.settings")
    error = project.error("hello", code=3, env={"DJANGO_SETTINGS_MODULE": "nowhere.settings"})
    assert f"DJANGO_SETTINGS_MODULE is nowhere.settings, but there is no nowhere in {project.path}" in error


def test_another_active_environment_is_mentioned(project: Project) -> None:
    error = project.write(hello="import missing_thing").error("hello", code=3, env={"VIRTUAL_ENV": "/srv/other"})
    assert "The active virtual environment is another one, /srv/other: install ironbridge there" in error


def test_a_file_hidden_by_a_loaded_module_is_refused(project: Project) -> None:
    error = project.write(abc=WSGI).error("abc.py", code=3)
    assert f"{project.path}/abc.py is hidden by another module of the name abc" in error


def test_sys_exit_at_import_is_no_success(project: Project) -> None:
    error = project.write(hello="import sys\nsys.exit(0)").error("hello", code=3)
    assert "the application ended the program itself" in error


def test_an_interrupt_while_the_application_loads(project: Project) -> None:
    project.write(hello="import sys, time\nprint('listening at http://loading', file=sys.stderr)\ntime.sleep(60)")
    server = ServerProcess.start("hello:app", cwd=project.path)
    server.signal(signal.SIGINT)
    assert server.wait() == 130


def test_nothing_is_bound_when_the_application_does_not_load(project: Project) -> None:
    with pytest.raises(ServerFailed, match="the server ended without"):
        ServerProcess.start("hello:app", cwd=project.path)
