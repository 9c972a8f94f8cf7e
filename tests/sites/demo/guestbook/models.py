"""What visitors wrote."""

from django.db import models


class Message(models.Model):
    """One message."""

    author = models.CharField(max_length=80)
    text = models.TextField(max_length=2000)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        ordering = ("-created", "-id")

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:40]}"
