"""Paths of the files page."""

from django.urls import path

from files import views

urlpatterns = [
    path("", views.files, name="files"),
    path("<int:key>/", views.download, name="download"),
    path("<int:key>/delete/", views.delete, name="delete-file"),
]
