"""The guest book, as Django finds it."""

from django.apps import AppConfig


class GuestbookConfig(AppConfig):
    """Messages of visitors."""

    name = "guestbook"
