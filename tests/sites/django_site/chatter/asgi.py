"""The chatter site as an ASGI application, with its database and its users made where they are not there yet."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter.settings")
django_application = get_asgi_application()

USERS = ["ada", "bob", "cleo"]


def _fill() -> None:
    from django.contrib.auth.models import User
    from django.db import connection

    call_command("migrate", verbosity=0)
    for name in USERS:
        if not User.objects.filter(username=name).exists():
            User.objects.create_user(name, password="right")
    connection.close()


_fill()

from chatter.middleware import StampWebSockets  # noqa: E402 (needs Django's applications)
from chatter.urls import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": StampWebSockets(
            AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))
        ),
    }
)
