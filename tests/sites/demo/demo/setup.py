"""Makes the demo's database and its administrator, where they do not exist yet: `python -m demo.setup`."""

import os

import django
from django.core.management import call_command

ADMIN_NAME = "admin"
ADMIN_PASSWORD = "admin"


def main() -> None:
    """Does it; may be run again at any time."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    _make_admin()
    _make_first_message()


def _make_admin() -> None:
    from django.contrib.auth.models import User

    if not User.objects.filter(username=ADMIN_NAME).exists():
        User.objects.create_superuser(ADMIN_NAME, password=ADMIN_PASSWORD)


def _make_first_message() -> None:
    from guestbook.models import Message

    if not Message.objects.exists():
        Message.objects.create(author="The server", text="Welcome! Write something below.")


if __name__ == "__main__":
    main()
