"""A Django project in one file: a view that reads a row from sqlite through the ORM.

The settings are Django's own defaults where there is one, so a connection to the database is opened and closed
in each request. `BENCH_DATABASE` in the environment names the database file; `prepare()` fills it.
"""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}},
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for benchmarks",
    USE_TZ=True,
)
django.setup()


class Book(models.Model):
    """A row to read."""

    title = models.CharField(max_length=100)
    pages = models.IntegerField()

    class Meta:
        """Tells the ORM where the model lives: the project has no installed application."""

        app_label = "bench"


def book(_: HttpRequest, number: int) -> JsonResponse:
    """Answers with one row."""
    row = Book.objects.get(pk=number)
    return JsonResponse({"id": row.pk, "title": row.title, "pages": row.pages})


urlpatterns = [path("books/<int:number>", book)]
wsgi = get_wsgi_application()


def prepare() -> None:
    """Makes the table and fills it."""
    with connection.schema_editor() as editor:
        editor.create_model(Book)
    Book.objects.bulk_create(Book(title=f"Book {number}", pages=number) for number in range(1, 101))


if __name__ == "__main__":
    prepare()
