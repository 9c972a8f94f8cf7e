"""pre_request and post_request around WSGI applications."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from ironbridge._compat import config

Load = Callable[..., config.Configuration]
Call = Callable[..., Any]

BEFORE = "seen = []\ndef pre_request(worker, req): seen.append(('before', req.method, req.path))\n"
AFTER = "{}def post_request(worker, req, environ, resp): seen.append(('after', resp.status, resp.sent, environ['k']))\n"
BOTH = AFTER.format(BEFORE)


class Serve:
    """Wraps an application with the hooks of a file, and calls it as a server does.

    Attributes:
        seen: What the hooks have noted.
    """

    def __init__(self, configuration: config.Configuration) -> None:
        assert configuration.hooks is not None
        self.hooks = configuration.hooks
        self.seen: list[Any] = next(iter(self.hooks._functions.values())).__globals__["seen"]  # type: ignore[attr-defined]
        self.started: list[tuple[str, list[tuple[str, str]]]] = []
        self.written: list[bytes] = []

    def __call__(self, app: Call, **environ: Any) -> Any:
        full = {"k": "v", **environ}
        setup_testing_defaults(full)
        return self.hooks.wrap(app, "wsgi")(full, self.start_response)  # type: ignore[operator]

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Call:
        self.started.append((status, headers))
        return self.written.append


@pytest.fixture
def both(load: Load) -> Serve:
    return Serve(load(BOTH))


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def close(result: Any) -> None:
    if hasattr(result, "close"):
        result.close()


def test_without_these_hooks_the_application_is_itself(load: Load) -> None:
    hooks = load("def on_exit(server): pass").hooks
    assert hooks is not None
    assert hooks.wrap(hello, "wsgi") is hello


def test_the_request_is_described(load: Load) -> None:
    serve = Serve(load("seen = []\ndef pre_request(worker, req): seen.append(req)"))
    serve(
        hello,
        REQUEST_METHOD="POST",
        RAW_URI="/a%20b?c=d",
        HTTP_X_ONE="1",
        CONTENT_TYPE="text/plain",
        CONTENT_LENGTH="",
        REMOTE_ADDR="10.0.0.1",
        REMOTE_PORT="77",
        SERVER_PROTOCOL="HTTP/1.1",
    )
    (req,) = serve.seen
    assert (req.method, req.uri, req.path, req.query, req.fragment) == ("POST", "/a%20b?c=d", "/a%20b", "c=d", "")
    assert (req.version, req.scheme, req.remote_addr) == ((1, 1), "http", ("10.0.0.1", 77))
    assert ("X-ONE", "1") in req.headers
    assert ("CONTENT-TYPE", "text/plain") in req.headers
    assert "CONTENT-LENGTH" not in dict(req.headers)
    req.own = 1


def test_the_target_is_made_up_where_a_server_does_not_tell_it(load: Load) -> None:
    serve = Serve(load("seen = []\ndef pre_request(worker, req): seen.append(req.uri)"))
    serve(hello, SCRIPT_NAME="/s", PATH_INFO="/a b", QUERY_STRING="c")
    assert serve.seen == ["/s/a%20b?c"]


def test_with_pre_request_alone_the_iterable_is_the_applications(load: Load) -> None:
    serve = Serve(load(BEFORE))
    body = [b"x"]
    assert serve(lambda environ, start_response: body) is body
    wrapper = FileWrapper(io.BytesIO(b"x"))
    assert serve(lambda environ, start_response: wrapper, **{"wsgi.file_wrapper": FileWrapper}) is wrapper
    assert serve.hooks.worker.nr == 2


def test_post_request_is_called_when_the_response_is_closed(both: Serve) -> None:
    result = both(hello)
    assert list(result) == [b"hello"]
    assert both.seen == [("before", "GET", "/")]
    result.close()
    assert both.seen[1:] == [("after", "200 OK", 5, "v")]
    result.close()
    assert len(both.seen) == 2


def test_lists_keep_their_length(both: Serve) -> None:
    assert len(both(hello)) == 1
    assert not hasattr(both(lambda environ, start: iter([b"x"])), "__len__")


def test_generators_stay_lazy(both: Serve) -> None:
    steps = []

    def stream(environ: Any, start_response: Any) -> Iterator[bytes]:
        steps.append("begun")
        start_response("200 OK", [])
        yield b"a"
        steps.append("second")
        yield b"bc"

    result = both(stream)
    assert steps == []
    body = iter(result)
    assert next(body) == b"a"
    assert steps == ["begun"]
    assert list(body) == [b"bc"]
    close(result)
    assert both.seen[-1] == ("after", "200 OK", 3, "v")


def test_the_applications_close_is_called_first_and_once(both: Serve) -> None:
    order: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            order.append(f"closed after {len(both.seen)}")

    close(both(lambda environ, start_response: Body()))
    assert order == ["closed after 1"]
    assert len(both.seen) == 2


def test_a_close_that_fails_does_not_keep_the_hook_from_running(both: Serve) -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        close(both(lambda environ, start_response: Body()))
    assert both.seen[-1][0] == "after"


def test_write_is_counted(both: Serve) -> None:
    def writing(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"abc")
        return [b"d"]

    result = both(writing)
    assert list(result) == [b"d"]
    close(result)
    assert both.written == [b"abc"]
    assert both.seen[-1] == ("after", "200 OK", 4, "v")


def test_an_application_that_raises_is_a_request_that_has_ended(both: Serve) -> None:
    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        both(failing)
    assert both.seen[-1] == ("after", None, 0, "v")


def test_a_body_that_raises_ends_when_it_is_closed(both: Serve) -> None:
    def failing(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise KeyError("x")

    result = both(failing)
    with pytest.raises(KeyError):
        list(result)
    assert len(both.seen) == 1
    close(result)
    assert both.seen[-1] == ("after", "200 OK", 1, "v")


def test_pre_request_may_refuse(load: Load) -> None:
    serve = Serve(
        load("seen = []\ndef pre_request(worker, req): raise PermissionError\ndef post_request(w, r): seen.append(1)")
    )
    with pytest.raises(PermissionError):
        serve(hello)
    assert serve.seen == [1]
    assert serve.started == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("worker, req", 2), ("worker, req, environ", 3), ("worker, req, environ, resp", 4)],
)
def test_post_request_gets_what_it_takes(arguments: str, expected: int, load: Load) -> None:
    serve = Serve(load(f"seen = []\ndef post_request({arguments}): seen.append(len(locals()))"))
    close(serve(hello))
    assert serve.seen == [expected]


def test_the_response_is_described(load: Load) -> None:
    serve = Serve(load("seen = []\ndef post_request(worker, req, environ, resp): seen.append(resp)"))
    result = serve(hello)
    list(result)
    result.close()
    (resp,) = serve.seen
    assert (resp.status, resp.status_code, resp.response_length, resp.sent) == ("200 OK", 200, 5, 5)
    assert ("Content-Type", "text/plain") in resp.headers
    assert resp.headers_sent


def test_an_exception_in_post_request_is_logged(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    serve = Serve(load("seen = []\ndef post_request(worker, req): 1 / 0"))
    close(serve(hello))
    assert "Exception in post_request hook" in capsys.readouterr().err


class OurFileWrapper:
    """As the server's, which asks its file for close() when it is closed itself."""

    def __init__(self, filelike: Any) -> None:
        self.filelike = filelike

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.filelike.read(8192), b"")

    def close(self) -> None:
        self.filelike.close()


def test_files_still_go_to_the_server_in_its_wrapper(both: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    file = open(tmp_path / "file", "rb")

    def sending(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    result = both(sending, **{"wsgi.file_wrapper": OurFileWrapper})
    assert type(result) is OurFileWrapper
    assert result.filelike is file
    assert type(file) is io.BufferedReader
    assert len(both.seen) == 1
    result.close()
    assert file.closed
    assert both.seen[-1] == ("after", "200 OK", 10, "v")


def test_a_file_that_takes_no_attributes_is_wrapped(both: Serve) -> None:
    class Slotted:
        __slots__ = ("left",)

        def __init__(self) -> None:
            self.left = [b"", b"abc"]

        def read(self, size: int) -> bytes:
            return self.left.pop()

        def close(self) -> None: ...

    result = both(lambda environ, start: OurFileWrapper(Slotted()), **{"wsgi.file_wrapper": OurFileWrapper})  # type: ignore[arg-type]
    assert list(result) == [b"abc"]
    close(result)
    assert both.seen[-1][2] == 3


def test_pep_3333_is_kept(both: Serve) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    wrapped = validator(both.hooks.wrap(validator(app), "wsgi"))  # type: ignore[arg-type]
    environ: dict[str, Any] = {"k": "v"}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    result = wrapped(environ, both.start_response)
    assert list(result) == [b"x"]
    close(result)
    assert both.seen[-1][:3] == ("after", "200 OK", 1)
