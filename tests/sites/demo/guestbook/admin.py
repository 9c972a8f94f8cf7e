"""Messages in the admin."""

from django.contrib import admin

from guestbook.models import Message


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    """A searchable list."""

    list_display = ("author", "text", "created")
    list_filter = ("created",)
    search_fields = ("author", "text")
