"""The one table."""

from django.db import models


class World(models.Model):
    """A row with a number."""

    number = models.IntegerField()
