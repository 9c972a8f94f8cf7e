"""The guest book's one path."""

from django.urls import path

from guestbook import views

urlpatterns = [path("", views.guestbook, name="guestbook")]
