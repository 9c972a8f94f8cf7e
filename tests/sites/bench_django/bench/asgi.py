"""The bench site as an ASGI application; its database is made by the WSGI one."""

from django.core.asgi import get_asgi_application

import bench.wsgi  # noqa: F401 (it also names the settings)

application = get_asgi_application()
