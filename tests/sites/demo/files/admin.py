"""Uploads in the admin."""

from django.contrib import admin

from files.models import Upload


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):
    """A list; the facts about a file are not for editing."""

    list_display = ("name", "size", "created")
    readonly_fields = ("size", "sha256")

    def has_add_permission(self, request: object) -> bool:
        """Files come in through the files page, which measures them."""
        return False
