"""`ironbridge` without an application finds the project in the current folder."""

from __future__ import annotations

from .conftest import WSGI, Project

MANAGE = """
import os, sys
def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
"""


def test_a_django_project_by_its_settings(project: Project) -> None:
    project.write(manage=MANAGE).package("shop", settings='WSGI_APPLICATION = "shop.web.app"', web=WSGI)
    said = project.check()
    assert "serving shop.web:app: Django project: WSGI_APPLICATION in shop/settings.py, which manage.py names" in said
    assert "ok: shop.web:app loads" in said


def test_a_flask_application_by_its_file(project: Project) -> None:
    project.write(app="class Flask:\n    def __init__(self, name): pass\n    def __call__(self, e, s): return []\n")
    with (project.path / "app.py").open("a") as file:
        file.write("\nsite = Flask(__name__)\n")
    assert "serving app:site: found in app.py" in project.check()


def test_a_factory(project: Project) -> None:
    project.write(main="def create_app():\n    return lambda environ, start_response: []\n")
    assert "ok: main:create_app() loads" in project.check()


def test_flask_app_variable(project: Project) -> None:
    project.write(site_one=WSGI, app=WSGI)
    assert "serving site_one:app: FLASK_APP names it" in project.check(env={"FLASK_APP": "site_one"})


def test_nothing_found_says_what_was_looked_for(project: Project) -> None:
    error = project.error(code=2)
    assert f"no application found in {project.path}: there is no manage.py (Django)" in error
    assert error.endswith("Name it: ironbridge module:attribute\n")


def test_several_found_are_listed(project: Project) -> None:
    error = project.write(app=WSGI, main=WSGI).error(code=2)
    assert error == "ironbridge: error: several applications found: app:app, main:app. Name one: ironbridge app:app\n"
