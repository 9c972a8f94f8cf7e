"""Where the views and the consumers are."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from chatter import consumers, views

urlpatterns = [
    path("", views.front),
    path("thread/<key>", views.in_a_thread),
    path("login", views.Login.as_view()),
    path("logout", views.log_out),
    path("whoami", views.whoami),
    path("upload", views.Upload.as_view()),
    path("stream/<key>", views.stream),
    path("quiet/<key>", views.quiet),
    path("later/<key>", views.later),
    path("gate/<key>", csrf_exempt(views.gate)),
    path("recorded/<key>", views.recorded),
    path("broken", views.broken),
]
websocket_urlpatterns = [
    path("chat/<room>", consumers.Chat.as_asgi()),
    path("sync-chat/<room>", consumers.SyncChat.as_asgi()),
]
