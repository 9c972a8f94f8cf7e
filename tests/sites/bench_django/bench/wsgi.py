"""The bench site as a WSGI application, with its database made and filled where it is not there yet."""

import os

from django.core.wsgi import get_wsgi_application
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.settings")
application = get_wsgi_application()

ROWS = 100


def _fill() -> None:
    from bench.models import World

    if World._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(World)
    if not World.objects.exists():
        World.objects.bulk_create(World(number=index * 7919 % 10_000) for index in range(1, ROWS + 1))
    connection.close()


_fill()
