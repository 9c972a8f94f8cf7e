"""The pages that need no database: the front page, streams, waiting, and a failure."""

import csv
import os
import platform
import threading
import time
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render

MOST_LINES = 1000
MOST_ROWS = 10_000_000
MOST_SECONDS = 30.0


def front(request: HttpRequest) -> HttpResponse:
    """Says what the server is, what there is to try, and how this very request was served."""
    environ = request.META
    facts = {
        "Server": environ.get("SERVER_SOFTWARE", ""),
        "Protocol": environ.get("SERVER_PROTOCOL", ""),
        "Client": f"{environ.get('REMOTE_ADDR', '')}:{environ.get('REMOTE_PORT', '')}",
        "Process": os.getpid(),
        "Thread": f"{threading.current_thread().name} ({threading.get_native_id()})",
        "Python threads alive": threading.active_count(),
        "Python": platform.python_version(),
    }
    return render(request, "demo/front.html", {"facts": facts, "headers": dict(request.headers)})


def stream(request: HttpRequest) -> HttpResponse:
    """The page around the streams."""
    return render(request, "demo/stream.html")


def stream_lines(request: HttpRequest) -> StreamingHttpResponse:
    """Sends `count` lines, each `delay` seconds after the one before."""
    count = int(_number(request, "count", 10, MOST_LINES))
    delay = _number(request, "delay", 0.3, MOST_SECONDS)

    def lines() -> Iterator[str]:
        for index in range(1, count + 1):
            yield f"line {index} of {count} at {time.strftime('%H:%M:%S')}\n"
            if index < count:
                time.sleep(delay)

    return StreamingHttpResponse(
        lines(), content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"}
    )


def stream_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Sends a table of `rows` lines that nobody ever holds in memory whole."""
    rows = int(_number(request, "rows", 200_000, MOST_ROWS))
    writer = csv.writer(_Passing())

    def table() -> Iterator[str]:
        yield writer.writerow(["row", "square", "text"])
        for first in range(1, rows + 1, 500):
            last = min(first + 500, rows + 1)
            yield "".join(writer.writerow([row, row * row, f'row "{row}", quoted']) for row in range(first, last))

    headers = {"Content-Disposition": 'attachment; filename="rows.csv"'}
    return StreamingHttpResponse(table(), content_type="text/csv; charset=utf-8", headers=headers)


def slow(request: HttpRequest) -> JsonResponse:
    """Waits as a page does that asks another service."""
    seconds = _number(request, "seconds", 1.0, MOST_SECONDS)
    time.sleep(seconds)
    return JsonResponse({"waited": seconds, "thread": threading.current_thread().name})


def error(request: HttpRequest) -> HttpResponse:
    """Fails. The client sees a bare 500, the log has the traceback, and the server goes on."""
    raise RuntimeError("this page always fails")


def _number(request: HttpRequest, name: str, default: float, most: float) -> float:
    try:
        value = float(request.GET.get(name, default))
    except ValueError:
        return default
    return min(max(value, 0.0), most) if value == value else default


class _Passing:
    """A file for csv.writer whose write() gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line
