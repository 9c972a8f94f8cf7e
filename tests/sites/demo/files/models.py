"""What was uploaded."""

from django.db import models


class Upload(models.Model):
    """One file. Its bytes lie in the uploads folder."""

    name = models.CharField(max_length=255)
    file = models.FileField(upload_to="%Y/%m")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        ordering = ("-created", "-id")

    def __str__(self) -> str:
        return self.name
