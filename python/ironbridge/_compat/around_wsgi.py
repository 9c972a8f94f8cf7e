"""`pre_request` and `post_request` around a WSGI application (PEP 3333)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .arbiter import Worker
from .request import Request, Response
from .values import arity

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Hook = Callable[..., object]


def around_wsgi(app: WSGIApplication, worker: Worker, before: Hook | None, after: Hook | None) -> WSGIApplication:
    """The application with hooks around it.

    Without `post_request` the application's iterable goes to the server as it is. With it, the hook is called once the
    server has closed the iterable; nothing is read from that earlier than the server asks for it.
    """
    if after is None:

        def announced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            _begin(worker, before, Request.of_environ(environ))
            return app(environ, start_response)

        return announced

    counts = arity(after)

    def surrounded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request.of_environ(environ)
        response = Response()
        end = _End(worker, after, counts, request, environ, response)
        start: Any = _recording(start_response, response) if counts == 4 else start_response
        try:
            _begin(worker, before, request)
            result = app(environ, start)
        except BaseException:
            end()
            raise
        if _rides_on_file(result, environ, end):
            # How much of it the kernel sends is not told.
            response.sent = response.response_length or _file_size(result)
            return result
        return _closing(result, end, response if counts == 4 else None)

    return surrounded


def _begin(worker: Worker, before: Hook | None, request: Request) -> None:
    worker.nr += 1
    if before is not None:
        before(worker, request)


class _End:
    """Calls `post_request`, once."""

    def __init__(
        self,
        worker: Worker,
        after: Hook,
        counts: int,
        request: Request,
        environ: dict[str, Any],
        response: Response,
    ) -> None:
        self._worker = worker
        self._after = after
        self._arguments = (worker, request, environ, response)[:counts]
        self._is_due = True

    def __call__(self) -> None:
        if not self._is_due:
            return
        self._is_due = False
        try:
            self._after(*self._arguments)
        except Exception:
            self._worker.log.exception("Exception in post_request hook")


def _recording(start_response: StartResponse, response: Response) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        # Without exc_info it is not passed on: a start_response may take two arguments only.
        write = start_response(status, headers, exc_info) if exc_info else start_response(status, headers)
        response.begin(status, headers)

        def counting(data: bytes) -> object:
            response.count(data)
            return write(data)

        return counting

    return start


def _rides_on_file(result: object, environ: dict[str, Any], end: _End) -> bool:
    """Has a file's close() call the hook, where the application returns the server's wsgi.file_wrapper.

    Another iterable around it would keep the kernel from sending the file (PEP 3333, "Optional Platform-Specific File
    Handling").
    """
    wrapper = environ.get("wsgi.file_wrapper")
    if not isinstance(wrapper, type) or type(result) is not wrapper:
        return False
    file = getattr(result, "filelike", None)
    close = getattr(file, "close", None)

    def closing() -> None:
        try:
            if close is not None:
                close()
        finally:
            end()

    try:
        file.close = closing  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        return False
    return True


def _file_size(result: Any) -> int:
    try:
        return os.fstat(result.filelike.fileno()).st_size
    except (AttributeError, OSError, ValueError):
        return 0


def _closing(result: Iterable[bytes], end: _End, response: Response | None) -> Iterable[bytes]:
    # A server may ask whether there is a length: it then knows Content-Length.
    kind = _SizedBody if hasattr(result, "__len__") else _Body
    return kind(result, end, response)


class _Body:
    """An iterable that tells when it is closed."""

    def __init__(self, result: Iterable[bytes], end: _End, response: Response | None) -> None:
        self._result = result
        self._end = end
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        if self._response is None:
            return iter(self._result)
        return _counted(self._result, self._response)

    def close(self) -> None:
        """PEP 3333: the server calls it however the request ends."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._end()


class _SizedBody(_Body):
    def __len__(self) -> int:
        return len(self._result)  # type: ignore[arg-type]


def _counted(result: Iterable[bytes], response: Response) -> Iterator[bytes]:
    for data in result:
        response.count(data)
        yield data
