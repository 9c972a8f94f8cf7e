"""The bench site, as Django finds it."""

from django.apps import AppConfig


class BenchConfig(AppConfig):
    """One table."""

    name = "bench"
