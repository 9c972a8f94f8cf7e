"""Which path is answered by what."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from demo import pages

urlpatterns = [
    path("", pages.front, name="front"),
    path("stream/", pages.stream, name="stream"),
    path("stream/lines/", pages.stream_lines, name="stream-lines"),
    path("stream/rows.csv", pages.stream_csv, name="stream-csv"),
    path("slow/", pages.slow, name="slow"),
    path("error/", pages.error, name="error"),
    path("guestbook/", include("guestbook.urls")),
    path("files/", include("files.urls")),
    path("login/", auth.LoginView.as_view(template_name="demo/login.html"), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
