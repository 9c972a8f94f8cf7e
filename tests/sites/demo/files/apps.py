"""The uploads, as Django finds them."""

from django.apps import AppConfig


class FilesConfig(AppConfig):
    """Files of logged-in visitors."""

    name = "files"
