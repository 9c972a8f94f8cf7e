"""Views, with and without `async`."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator

import events
from django.contrib.auth import aauthenticate, alogin, logout
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.views import View
from django.views.decorators.http import require_POST

working: set[asyncio.Task[None]] = set()


async def front(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"thread": threading.current_thread().name})


def in_a_thread(request: HttpRequest, key: str) -> HttpResponse:
    events.record(key, "in a thread")
    events.wait_gate(key)
    return JsonResponse({"threads": [threading.current_thread().name]})


class Login(View):
    """The form, and what becomes of it."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        token = f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'
        return HttpResponse(f'<form method="post">{token}<input name="user"><input name="password"></form>')

    async def post(self, request: HttpRequest) -> HttpResponse:
        user = await aauthenticate(request, username=request.POST["user"], password=request.POST["password"])
        if user is None:
            return JsonResponse("wrong password", status=401, safe=False)
        await alogin(request, user)
        return JsonResponse({"user": user.get_username()})


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return JsonResponse(None, safe=False)


def whoami(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username() or None})


class Upload(View):
    """Length and hash of a file in a form, or of the body itself."""

    def post(self, request: HttpRequest) -> HttpResponse:
        digest, file = hashlib.sha256(), request.FILES["file"]
        for block in file.chunks():
            digest.update(block)
        facts = {"name": file.name, "note": request.POST["note"], "size": file.size}
        return JsonResponse({**facts, "sha256": digest.hexdigest()})

    def put(self, request: HttpRequest) -> HttpResponse:
        digest, size = hashlib.sha256(), 0
        while block := request.read(1 << 16):
            digest.update(block)
            size += len(block)
        return JsonResponse({"size": size, "sha256": digest.hexdigest()})


async def stream(request: HttpRequest, key: str) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.to_thread(events.wait_gate, key)
        yield "last\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def quiet(request: HttpRequest, key: str) -> StreamingHttpResponse:
    async def sent() -> AsyncIterator[str]:
        try:
            yield "data: 0\n\n"
            await asyncio.Event().wait()
        finally:
            events.record(key, "the events end")

    return StreamingHttpResponse(sent(), content_type="text/event-stream")


@require_POST
async def later(request: HttpRequest, key: str) -> HttpResponse:
    async def work() -> None:
        await asyncio.to_thread(events.wait_gate, key)
        events.record(key, "later")

    task = asyncio.create_task(work())
    working.add(task)
    task.add_done_callback(working.discard)
    return JsonResponse(True, safe=False)


@require_POST
async def gate(request: HttpRequest, key: str) -> HttpResponse:
    events.open_gate(key)
    return JsonResponse(None, safe=False)


async def recorded(request: HttpRequest, key: str) -> HttpResponse:
    return JsonResponse(events.recorded(key), safe=False)


async def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("this view is broken")
