"""Two views."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from bench.models import World


def read(request: HttpRequest, key: int = 1) -> HttpResponse:
    """Reads one row through the ORM."""
    world = World.objects.get(pk=key)
    return JsonResponse({"id": world.pk, "number": world.number})


def as_json(request: HttpRequest) -> HttpResponse:
    """Reads nothing."""
    return JsonResponse({"message": "Hello, world!"})


urlpatterns = [
    path("db", read),
    path("db/<int:key>", read),
    path("json", as_json),
]
