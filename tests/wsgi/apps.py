"""All applications of the WSGI tests: small functions, called by the first segment of the path.

`application` serves them as they are, `validated` wrapped in `wsgiref.validate.validator`. A function that breaks
PEP 3333 on purpose, or does what only the validator forbids, says so with `@breaks(reason)` and is then tested
unwrapped only.

Parameters come in the query; `key` names the test (see `events`).
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.validate import validator

import events

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Any]

TEXT = ("Content-Type", "text/plain; charset=latin-1")
BREAKS_PEP_3333: dict[str, str] = {}
"""Names of the applications that are not tested under the validator, and why."""


def application(environ: Environ, start_response: StartResponse) -> Any:
    """Calls the function that the path's first segment names; by default `environ_dump`."""
    name = environ["PATH_INFO"].strip("/").partition("/")[0]
    return APPLICATIONS.get(name, environ_dump)(environ, start_response)


validated = validator(application)


def breaks(reason: str) -> Callable[[Application], Application]:
    """Marks an application that the validator would refuse."""

    def mark(function: Application) -> Application:
        BREAKS_PEP_3333[function.__name__] = reason
        return function

    return mark


# --- Tools of the tests ---------------------------------------------------------------------------------------------


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return [b"hello"]


def recorded(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """The events of `key`; waits for those in `wanted`."""
    query = _query(environ)
    wanted = query["wanted"].split(",") if query.get("wanted") else []
    return _json(start_response, events.recorded(query["key"], wanted, float(query.get("seconds", "0"))))


def produced(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return _json(start_response, events.produced.value(_query(environ)["key"]))


def open_gate(environ: Environ, start_response: StartResponse) -> list[bytes]:
    events.open_gate(_query(environ)["key"])
    return hello(environ, start_response)


def mark(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Records that it ran; answers 200 and reads nothing."""
    events.record(_query(environ)["key"], "ran")
    return hello(environ, start_response)


def blocked(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Holds its thread until the gate opens."""
    key = _query(environ)["key"]
    events.record(key, "started")
    events.wait_gate(key)
    start_response("200 OK", [TEXT])
    return [b"released"]


def blocked_gigabyte(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Holds its thread until the gate opens, and begins its response of 1 GiB only then."""
    key = _query(environ)["key"]
    events.record(key, "started")
    events.wait_gate(key)
    return gigabyte(environ, start_response)


class _Comparing:
    """Compares itself by comparing others, without end."""

    def __lt__(self, other: object) -> bool:
        return sorted([_Comparing(), _Comparing()]) == []


def recursing_through_c(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Goes as deep as Python allows, with frames of C code between its own."""
    try:
        sorted([_Comparing(), _Comparing()])
    except RecursionError:
        start_response("200 OK", [TEXT])
        return [b"RecursionError"]
    raise AssertionError("this recursion has no end")


def blocked_on_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Holds its thread until somebody writes to the named pipe `path`, for servers that take no new requests.

    With `stream`, the first chunk goes out before.
    """
    query = _query(environ)
    start_response("200 OK", [TEXT])
    if query.get("stream"):
        yield b"begun "
    with open(query["path"], "rb") as pipe:
        yield pipe.read()


def threads_at_once(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers when `parties` requests are in it at the same time."""
    parties = int(_query(environ)["parties"])
    with _barriers_lock:
        barrier = _barriers.setdefault(_query(environ)["key"], threading.Barrier(parties))
    barrier.wait(events.GATE_SECONDS)
    start_response("200 OK", [TEXT])
    return [str(threading.get_ident()).encode()]


# --- environ --------------------------------------------------------------------------------------------------------


def environ_dump(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """All of environ: strings as they are, anything else by type and value."""
    shown = {
        name: value if type(value) is str else [type(value).__name__, str(value)] for name, value in environ.items()
    }
    return _json(start_response, {"type": type(environ).__name__, "environ": shown})


def environ_mutated(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Tells what a request before it has left behind in environ, then leaves something."""
    found = {name: environ.get(name) for name in ("LEFT_BEHIND", "wsgi.url_scheme", "SERVER_PROTOCOL", "wsgi.version")}
    environ["LEFT_BEHIND"] = "yes"
    environ["wsgi.url_scheme"] = "gopher"
    del environ["SERVER_PROTOCOL"], environ["wsgi.version"]
    return _json(start_response, found)


def errors_stream(environ: Environ, start_response: StartResponse) -> list[bytes]:
    key = _query(environ)["key"]
    stream = environ["wsgi.errors"]
    stream.write(f"written {key} \xe4\u20ac\n")
    stream.writelines([f"first line {key}\n", f"second line {key}\n"])
    stream.flush()
    return hello(environ, start_response)


def early_hints(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sends hints, waits for its gate where `key` is given, then answers."""
    send_hints = environ.get("wsgi.early_hints")
    if send_hints is not None:
        send_hints([("Link", "</style.css>; rel=preload"), ("Link", "</app.js>; rel=preload")])
        send_hints([("Link", "</font.woff2>; rel=preload")])
    if key := _query(environ).get("key"):
        events.wait_gate(key)
    start_response("200 OK", [TEXT])
    return [b"with hints" if send_hints is not None else b"without hints"]


def late_early_hints(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [TEXT])
    yield b"first "
    if send_hints := environ.get("wsgi.early_hints"):
        try:
            send_hints([("Link", "</late.css>; rel=preload")])
        except Exception:
            events.record(_query(environ)["key"], "refused")
    yield b"second"


def injecting_early_hints(environ: Environ, start_response: StartResponse) -> list[bytes]:
    environ["wsgi.early_hints"]([("Link", "</x>\r\nInjected: yes")])
    return hello(environ, start_response)


def errors_without_end(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Leaves a line of wsgi.errors without its end."""
    environ["wsgi.errors"].write(f"unended {_query(environ)['key']}")
    return hello(environ, start_response)


class _GatedClose:
    """A body whose close() waits for a gate after the response has left."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"

    def close(self) -> None:
        events.wait_gate(self.key)
        events.record(self.key, "closed")


def gated_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", "1")])
    return _GatedClose(_query(environ)["key"])


def gated_read(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads its empty input when its gate opens."""
    key = _query(environ)["key"]
    events.record(key, "started")
    events.wait_gate(key)
    body = environ["wsgi.input"].read(10)
    start_response("200 OK", [TEXT])
    return [b"read:" + body]


# --- start_response and write ---------------------------------------------------------------------------------------


def start_in_iteration(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("202 Accepted", [TEXT, ("X-Late", "yes")])
    yield b"one "
    yield b"two"


def write_only(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"one ")
    write(b"two")
    return []


def write_then_iterable(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"written ")
    return [b"returned ", b"items"]


def write_within_generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    write = start_response("200 OK", [TEXT])
    yield b"one "
    write(b"two ")
    yield b"three"


def write_and_wait(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"first")
    events.wait_gate(_query(environ)["key"])
    return [b"second"]


def write_with_length(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT, ("Content-Length", _query(environ)["length"])])
    write(b"12345")
    write(b"67890")
    return []


def write_and_record(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Writes often, with `status`; records that every write came back."""
    query = _query(environ)
    headers = [] if query["status"][:3] in ("204", "304") else [TEXT]
    write = start_response(query["status"], headers)
    for _ in range(5):
        write(b"x" * 1000)
    events.record(query["key"], "wrote all")
    return []


def written_by_threads(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Two threads write 4 MB each, letter by letter."""
    write = start_response("200 OK", [TEXT])
    thread = threading.Thread(target=_write_often, args=(write, b"a"))
    thread.start()
    _write_often(write, b"b")
    thread.join()
    return []


def written_and_iterated(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A thread writes 4 MB while 4 MB are iterated over."""
    write = start_response("200 OK", [TEXT])
    thread = threading.Thread(target=_write_often, args=(write, b"a"))
    thread.start()
    for _ in range(40):
        yield b"b" * 100_000
    thread.join()


def write_text(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT])
    write("text")  # type: ignore[arg-type]
    return []


def keep_write(environ: Environ, start_response: StartResponse) -> list[bytes]:
    _kept[_query(environ)["key"]] = start_response("200 OK", [TEXT])
    return [b"kept"]


def call_kept_write(environ: Environ, start_response: StartResponse) -> list[bytes]:
    try:
        _kept[_query(environ)["key"]](b"too late")
    except Exception as error:
        return _json(start_response, type(error).__name__)
    return _json(start_response, None)


def exc_info_before_head(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT, ("X-Old", "yes"), ("Content-Length", "1000")])
    try:
        raise ValueError("caught by the application")
    except ValueError:
        start_response("503 Changed My Mind", [("Content-Type", "text/html"), ("X-New", "yes")], sys.exc_info())
    return [b"replaced"]


def exc_info_after_empty_chunks(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    write = start_response("200 OK", [TEXT, ("X-Old", "yes")])
    write(b"")
    yield b""
    try:
        raise ValueError("caught by the application")
    except ValueError:
        start_response("503 Changed My Mind", [("Content-Type", "text/html")], sys.exc_info())
    yield b"replaced"


def exc_info_after_head(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    key = _query(environ)["key"]
    start_response("200 OK", [TEXT])
    yield b"begun"
    try:
        raise ValueError(f"after the head {key}")
    except ValueError as original:
        try:
            start_response("500 Too Late", [TEXT], sys.exc_info())
        except ValueError as raised:
            events.record(key, "same exception" if raised is original else "another exception")
            raise
        events.record(key, "nothing raised")
    yield b"must not be sent"


def exc_info_at_first_call(environ: Environ, start_response: StartResponse) -> list[bytes]:
    try:
        raise ValueError("caught by the application")
    except ValueError:
        start_response("500 Own Error Page", [TEXT], sys.exc_info())
    return [b"own page"]


def started_twice(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    start_response("404 Not Found", [TEXT])
    return [b"never seen"]


def started_twice_and_caught(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    try:
        start_response("404 Not Found", [TEXT])
    except Exception:
        return [b"raised"]
    return [b"silent"]


@breaks("it never calls start_response")
def never_started(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return [b"no head"]


@breaks("it never calls start_response")
def never_started_and_empty(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return []


def any_status(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """The status that the query names; `as` says with which type."""
    start_response(_query(environ)["status"], [TEXT])
    return [b"body"]


@breaks("the status is no string")
def status_of_wrong_type(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response({"int": 200, "bytes": b"200 OK", "None": None}[_query(environ)["type"]], [TEXT])
    return [b"body"]


@breaks("the validator refuses control characters and odd names before the server sees them")
def any_header(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """One header more, as the query says."""
    query = _query(environ)
    start_response("200 OK", [TEXT, (query["name"], query["value"])])
    return [b"body"]


@breaks("a header is no pair of strings")
def header_of_wrong_type(environ: Environ, start_response: StartResponse) -> list[bytes]:
    odd: Any = {
        "bytes name": (b"X-Name", "value"),
        "bytes value": ("X-Name", b"value"),
        "int value": ("X-Name", 5),
        "None value": ("X-Name", None),
        "euro": ("X-Name", "\u20ac"),
        "triple": ("X-Name", "value", "more"),
        "no pair": "X-Name",
    }[_query(environ)["type"]]
    start_response("200 OK", [TEXT, odd])
    return [b"body"]


@breaks("headers are no list")
def headers_in_other_containers(environ: Environ, start_response: StartResponse) -> list[bytes]:
    headers = (TEXT, ("X-One", "1"), ("X-Two", "2"))
    start_response("200 OK", {"tuple": headers, "generator": (pair for pair in headers)}[_query(environ)["type"]])
    return [b"body"]


def latin1_headers(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Sends back what came in X-Echo, and a byte of its own."""
    start_response("200 OK", [TEXT, ("X-Echo", environ.get("HTTP_X_ECHO", "")), ("X-Own", "caf\xe9")])
    return [b"body"]


def repeated_headers(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response(
        "200 OK", [TEXT, ("Set-Cookie", "a=1"), ("X-Between", "x"), ("Set-Cookie", "b=2"), ("sEt-cOOkie", "c=3")]
    )
    return [b"body"]


def hop_by_hop(environ: Environ, start_response: StartResponse) -> list[bytes]:
    headers = [
        ("Connection", "close"),
        ("Keep-Alive", "timeout=99"),
        ("Transfer-Encoding", "gzip"),
        ("Upgrade", "x"),
        ("TE", "y"),
    ]
    start_response("200 OK", [TEXT, *headers, ("X-End", "end")])
    return [b"body"]


def own_date_and_server(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "Teapot/1.0")])
    return [b"body"]


# --- Bodies ---------------------------------------------------------------------------------------------------------


def empty_list(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return []


def empty_generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [TEXT])
    yield from ()


def empty_items(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return [b"", b"", b""]


def one_item_list(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return [b"one item"]


def one_item_tuple(environ: Environ, start_response: StartResponse) -> tuple[bytes]:
    start_response("200 OK", [TEXT])
    return (b"one item",)


def several_items(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return [b"", b"one ", b"", b"two ", b"three", b""]


def generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [TEXT])
    yield b"one "
    yield b""
    yield b"two"


class ClassWithIter:
    """An application may be a class whose instances are the iterables."""

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        start_response("200 OK", [TEXT])

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"from ", b"a class"])


def with_length(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """10 bytes in chunks of `step`, and the Content-Length that the query says."""
    query = _query(environ)
    start_response("200 OK", [TEXT, ("Content-Length", query["length"])])
    step = int(query.get("step", "10"))
    yield from (b"1234567890"[at : at + step] for at in range(0, 10, step))


def list_with_length(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", _query(environ)["length"])])
    return [b"1234567890"]


def two_lengths(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", "5"), ("Content-Length", "10")])
    return [b"1234567890"]


def large(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`size` bytes of a known pattern, in one item or in chunks of `step`."""
    query = _query(environ)
    body = pattern(int(query["size"]))
    start_response("200 OK", [TEXT])
    if "step" not in query:
        return [body]
    step = int(query["step"])
    return (body[at : at + step] for at in range(0, len(body), step))


def stream_and_wait(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Reads what there is to read before it begins."""
    key = _query(environ)["key"]
    environ["wsgi.input"].read(-1)
    start_response("200 OK", [TEXT])
    yield b"first"
    events.record(key, "asked for the second")
    events.wait_gate(key)
    yield b"second"


def read_then_wait(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Like `stream_and_wait`, but reads the request after its response has begun."""
    key = _query(environ)["key"]
    start_response("200 OK", [TEXT])
    yield b"first"
    while environ["wsgi.input"].read(10_000):
        pass
    events.record(key, "asked for the second")
    events.wait_gate(key)
    yield b"second"


def gigabyte(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """1 GiB in chunks of `step`; `produced` tells how far it has come."""
    query = _query(environ)
    chunk = b"g" * int(query["step"])
    start_response("200 OK", [TEXT])
    try:
        for _ in range((1 << 30) // len(chunk)):
            events.produced.add(query["key"], len(chunk))
            yield chunk
    finally:
        events.record(query["key"], "closed")


def gigabyte_written(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """As `gigabyte`, through write()."""
    query = _query(environ)
    chunk = b"g" * int(query["step"])
    write = start_response("200 OK", [TEXT])
    try:
        for _ in range((1 << 30) // len(chunk)):
            events.produced.add(query["key"], len(chunk))
            write(chunk)
    except Exception as error:
        events.record(query["key"], "OSError" if isinstance(error, OSError) else type(error).__name__)
        raise
    finally:
        events.record(query["key"], "closed")
    return []


@breaks("the child gets no further than its call")
def forking(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Forks a child off, which does as `child` says; tells how the child ended."""
    how = _query(environ)["child"]
    pid = os.fork()
    if pid == 0:
        if how == "raise":
            raise RuntimeError("the child failed")
        if how != "return":
            sys.exit(int(how))
        start_response("500 Child", [TEXT])
        return [b"the child answers"]
    _, status = os.waitpid(pid, 0)
    return _json(start_response, os.waitstatus_to_exitcode(status))


@breaks("it returns no iterable of bytes")
def odd_result(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [TEXT])
    return {"None": None, "bytes": b"bytes", "str": "text", "int": 5, "object": object()}[_query(environ)["type"]]


@breaks("an item is not bytes")
def odd_item(environ: Environ, start_response: StartResponse) -> Iterator[Any]:
    """An item of the wrong type at the place `at`."""
    query = _query(environ)
    start_response("200 OK", [TEXT, ("X-App", "yes")])
    for place in range(3):
        yield {"str": "text", "int": 5, "None": None}[query["type"]] if place == int(query["at"]) else b"good "


@breaks("an item is not bytes")
def odd_single_item(environ: Environ, start_response: StartResponse) -> list[Any]:
    start_response("200 OK", [TEXT, ("X-App", "yes")])
    return ["text"]


# --- close() --------------------------------------------------------------------------------------------------------


class Closing:
    """An iterable that records each call of its close()."""

    def __init__(self, key: str, items: Iterable[Any]) -> None:
        self.key = key
        self.items = iter(items)

    def __iter__(self) -> Closing:
        return self

    def __next__(self) -> Any:
        return next(self.items)

    def close(self) -> None:
        events.record(self.key, "close")


class ClosingBadly(Closing):
    """Its close() raises."""

    def __init__(self, key: str, items: Iterable[Any], error: BaseException) -> None:
        super().__init__(key, items)
        self.error = error

    def close(self) -> None:
        super().close()
        raise self.error


def closing(environ: Environ, start_response: StartResponse) -> Closing:
    """Status and items as the query says."""
    query = _query(environ)
    status = query.get("status", "200 OK")
    headers = [] if status[:3] in ("204", "304") else [TEXT]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    start_response(status, headers)
    return Closing(query["key"], [item.encode() for item in query.get("items", "one,two").split(",")])


def closing_without_items(environ: Environ, start_response: StartResponse) -> Closing:
    start_response("200 OK", [TEXT])
    return Closing(_query(environ)["key"], [])


def closing_after_error(environ: Environ, start_response: StartResponse) -> Closing:
    """Raises when the item number `at` is asked for."""
    query = _query(environ)
    start_response("200 OK", [TEXT])
    return Closing(query["key"], _failing(int(query["at"]), RuntimeError(f"boom {query['key']}")))


@breaks("an item is not bytes")
def closing_after_odd_item(environ: Environ, start_response: StartResponse) -> Closing:
    start_response("200 OK", [TEXT])
    return Closing(_query(environ)["key"], [b"good", "text"])


@breaks("it never calls start_response")
def closing_never_started(environ: Environ, start_response: StartResponse) -> Closing:
    return Closing(_query(environ)["key"], [b"no head"])


def closing_when_left(environ: Environ, start_response: StartResponse) -> Closing:
    """Yields, waits until the client is gone, and yields on without end."""
    key = _query(environ)["key"]

    def items() -> Iterator[bytes]:
        yield b"first"
        events.record(key, "started")
        events.wait_gate(key)
        while True:
            yield b"x" * 65536

    start_response("200 OK", [TEXT])
    return Closing(key, items())


def generator_when_left(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    key = _query(environ)["key"]
    start_response("200 OK", [TEXT])
    try:
        yield b"first"
        events.record(key, "started")
        events.wait_gate(key)
        while True:
            yield b"x" * 65536
    except GeneratorExit:
        events.record(key, "GeneratorExit")
        raise
    finally:
        events.record(key, "close")


def closing_badly(environ: Environ, start_response: StartResponse) -> ClosingBadly:
    query = _query(environ)
    start_response("200 OK", [TEXT])
    return ClosingBadly(query["key"], [b"one ", b"two"], _error(query["error"], f"close failed {query['key']}"))


def closing_badly_after_error(environ: Environ, start_response: StartResponse) -> ClosingBadly:
    key = _query(environ)["key"]
    start_response("200 OK", [TEXT])
    return ClosingBadly(key, _failing(0, RuntimeError(f"boom {key}")), ValueError(f"close failed {key}"))


# --- Errors ---------------------------------------------------------------------------------------------------------


def raising(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Raises instead of answering; with `started`, after start_response."""
    query = _query(environ)
    if query.get("started"):
        start_response("200 OK", [TEXT, ("X-App", "yes"), ("Content-Length", "5")])
    raise _error(query["error"], f"boom {query['key']}")


def raising_in_iteration(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Raises when the item number `at` is asked for; with `length`, the head promises so many bytes."""
    query = _query(environ)
    length = [("Content-Length", query["length"])] if "length" in query else []
    start_response("200 OK", [TEXT, ("X-App", "yes"), *length])
    return _failing(int(query["at"]), _error(query["error"], f"boom {query['key']}"))


def raising_after_empty_items(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    write = start_response("200 OK", [TEXT, ("X-App", "yes")])
    write(b"")
    yield b""
    yield b""
    raise RuntimeError(f"boom {_query(environ)['key']}")


def raising_after_write(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"written")
    raise RuntimeError(f"boom {_query(environ)['key']}")


def recursing(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return recursing(environ, start_response)


# --- HEAD, 204, 304 -------------------------------------------------------------------------------------------------


def no_body_status(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A status that has no body, with one."""
    query = _query(environ)
    length = [("Content-Length", query["length"])] if "length" in query else []
    start_response(query["status"], [("ETag", '"x"'), *length])
    return [b"must ", b"not be sent"]


def empty_not_modified(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def method_seen(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT, ("X-Method", environ["REQUEST_METHOD"])])
    return [environ["REQUEST_METHOD"].encode("latin-1")]


# --- wsgi.file_wrapper ----------------------------------------------------------------------------------------------


class RecordingFile(io.FileIO):
    """A real file that records when it is closed."""

    key = ""

    def close(self) -> None:
        if not self.closed and self.key:
            events.record(self.key, "close")
        super().close()


class ReadOnly:
    """The least that file_wrapper must take: an object with read()."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def file_real(environ: Environ, start_response: StartResponse) -> Any:
    """A real file of `size` bytes, its cursor at `offset`, with the Content-Length `length`."""
    query = _query(environ)
    file = _temporary(int(query["size"]), query["key"])
    file.seek(int(query.get("offset", "0")))
    length = [("Content-Length", query["length"])] if "length" in query else []
    start_response("200 OK", [TEXT, *length])
    block = [int(query["block"])] if "block" in query else []
    return environ["wsgi.file_wrapper"](file, *block)


def file_buffered(environ: Environ, start_response: StartResponse) -> Any:
    """A buffered file that was read from: its own cursor and the descriptor's differ."""
    query = _query(environ)
    file = io.BufferedReader(_temporary(int(query["size"]), query["key"]))
    file.read(10)
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](file)


class _Unseekable(io.FileIO):
    """A file whose position nobody can ask for, and whose bytes are not the descriptor's."""

    def tell(self) -> int:
        raise OSError("no position")

    def read(self, size: int | None = -1, /) -> bytes:
        return (super().read(size) or b"").upper()


def file_of_its_own(environ: Environ, start_response: StartResponse) -> Any:
    """An object that has a descriptor and reads something else: `kind` is gzip, class or proc."""
    query = _query(environ)
    start_response("200 OK", [TEXT])
    if query["kind"] == "proc":
        return environ["wsgi.file_wrapper"](open("/proc/self/status", "rb"))  # noqa: SIM115 (the server closes it)
    raw = tempfile.NamedTemporaryFile()
    raw.write(gzip.compress(b"plain text") if query["kind"] == "gzip" else b"plain text")
    raw.flush()
    opened = gzip.open(raw.name) if query["kind"] == "gzip" else _Unseekable(raw.name)
    return environ["wsgi.file_wrapper"](opened, -1)


def file_in_memory(environ: Environ, start_response: StartResponse) -> Any:
    query = _query(environ)
    file = io.BytesIO(pattern(int(query["size"])))
    file.seek(int(query.get("offset", "0")))
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](file, 4096)


def file_with_read_only(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](ReadOnly(pattern(int(_query(environ)["size"]))))


def file_pipe(environ: Environ, start_response: StartResponse) -> Any:
    """A descriptor that is no regular file: it has neither a size nor a cursor."""
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](open(reading, "rb"))


def file_wrapped_again(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """What middleware does: it iterates over the wrapper."""
    query = _query(environ)
    wrapper = environ["wsgi.file_wrapper"](_temporary(int(query["size"]), query["key"]), 1000)
    start_response("200 OK", [TEXT])
    try:
        for block in wrapper:
            yield block.swapcase()
    finally:
        wrapper.close()


def file_after_write(environ: Environ, start_response: StartResponse) -> Any:
    query = _query(environ)
    start_response("200 OK", [TEXT])(b"written ")
    return environ["wsgi.file_wrapper"](_temporary(int(query["size"]), query["key"]))


def file_never_returned(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Makes a wrapper and returns something else."""
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"unused"))
    start_response("200 OK", [TEXT])
    return [b"read: " + b"".join(wrapper)]


# --- wsgi.input -----------------------------------------------------------------------------------------------------


def input_calls(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Makes the calls of the query, such as `read:5,readline,iter`; tells what they return and the framing seen."""
    results = [_call(environ["wsgi.input"], call) for call in _query(environ)["calls"].split(",")]
    return _json(start_response, {"results": results, "framing": _framing(environ)})


@breaks("the validator demands a size for read()")
def input_read_without_size(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return input_calls(environ, start_response)


@breaks("the validator hides seek() and tell()")
def input_seek(environ: Environ, start_response: StartResponse) -> list[bytes]:
    stream = environ["wsgi.input"]
    first = stream.read()
    end = stream.tell()
    stream.seek(0)
    return _json(start_response, [first == stream.read(), end])


def input_digest(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads in pieces of `step` bytes; tells sizes, digest and framing."""
    query = _query(environ)
    events.record(query.get("key", ""), "started")
    step = int(query.get("step", "65536"))
    digest, total, sizes = hashlib.sha256(), 0, set()
    while piece := environ["wsgi.input"].read(step):
        digest.update(piece)
        total += len(piece)
        sizes.add(len(piece))
    facts = {"sha256": digest.hexdigest(), "total": total, "sizes": sorted(sizes), "framing": _framing(environ)}
    return _json(start_response, facts)


def input_longest_line(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return _json(start_response, [len(line) for line in environ["wsgi.input"]])


def input_first_bytes(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads `count` bytes and leaves the rest unread."""
    count = int(_query(environ)["count"])
    got = environ["wsgi.input"].read(count) if count else b""
    return _json(start_response, len(got))


def input_echo(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Sends back each piece as it reads it."""
    step = int(_query(environ)["step"])
    start_response("200 OK", [TEXT])
    while piece := environ["wsgi.input"].read(step):
        yield piece


def input_gated(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Waits for its gate before it reads."""
    key = _query(environ)["key"]
    events.record(key, "started")
    events.wait_gate(key)
    return _json(start_response, len(environ["wsgi.input"].read(-1)))


def input_until_error(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Records what reading to the end comes to, and lets errors go on."""
    query = _query(environ)
    read: dict[str, Callable[[Any], object]] = {
        "read": lambda stream: stream.read(-1),
        "readline": _read_lines,
        "readlines": lambda s: s.readlines(),
        "iter": list,
    }
    events.record(query["key"], "started")
    try:
        read[query.get("how", "read")](environ["wsgi.input"])
    except OSError:
        events.record(query["key"], "OSError")
        raise
    except Exception as error:
        events.record(query["key"], type(error).__name__)
        raise
    events.record(query["key"], "end")
    return hello(environ, start_response)


@breaks("the validator hides readinto()")
def input_readinto(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads through a buffer of `size` bytes, and once through io's own buffering."""
    buffer = bytearray(int(_query(environ)["size"]))
    stream = environ["wsgi.input"]
    count = stream.readinto(memoryview(buffer))
    rest = io.BufferedReader(stream).read()
    return _json(start_response, [buffer[:count].decode(), rest.decode()])


@breaks("the validator hides readable()")
def input_as_text(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Wraps the stream as text, lets go of the wrapper, which closes what it wraps, and reads on."""
    stream = environ["wsgi.input"]
    first = io.TextIOWrapper(stream, encoding="latin-1").readline()
    facts = [stream.writable(), stream.isatty(), stream.closed]
    return _json(start_response, [first, facts, stream.read().decode()])


def keep_input(environ: Environ, start_response: StartResponse) -> list[bytes]:
    query = _query(environ)
    _kept[query["key"]] = environ if query.get("what") == "environ" else environ["wsgi.input"]
    return hello(environ, start_response)


def read_kept_input(environ: Environ, start_response: StartResponse) -> list[bytes]:
    query = _query(environ)
    kept = _kept[query["key"]]
    try:
        _call(kept["wsgi.input"] if isinstance(kept, dict) else kept, query["call"])
    except Exception as error:
        return _json(start_response, type(error).__name__)
    return _json(start_response, None)


# --- Private --------------------------------------------------------------------------------------------------------


def _write_often(write: Callable[[bytes], object], letter: bytes) -> None:
    for _ in range(40):
        write(letter * 100_000)


def pattern(size: int) -> bytes:
    """`size` bytes in which no stretch looks like another."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


_kept: dict[str, Any] = {}
_barriers: dict[str, threading.Barrier] = {}
_barriers_lock = threading.Lock()


def _query(environ: Environ) -> dict[str, str]:
    return dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True, encoding="latin-1"))


def _json(start_response: StartResponse, value: object) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


def _error(name: str, text: str) -> BaseException:
    kinds: dict[str, Callable[[str], BaseException]] = {
        "RuntimeError": RuntimeError,
        "SystemExit": SystemExit,
        "SystemExit(0)": lambda _: SystemExit(0),
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
        "BaseException": BaseException,
        "StopIteration": StopIteration,
        "unprintable": _Unprintable,
        "grouped": lambda text: _with_cause(RuntimeError(text)),
    }
    return kinds[name](text)


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("this exception has no text")


def _with_cause(error: Exception) -> Exception:
    error.__cause__ = KeyError("the cause")
    return error


def _failing(at: int, error: BaseException) -> Iterator[bytes]:
    yield from (b"good " for _ in range(at))
    raise error


def _temporary(size: int, key: str) -> RecordingFile:
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    with open(path, "wb") as file:
        file.write(pattern(size))
    recording = RecordingFile(path)
    recording.key = key
    os.unlink(path)
    return recording


def _call(stream: Any, call: str) -> Any:
    name, _, argument = call.partition(":")
    if name == "iter":
        return [line.decode("latin-1") for line in stream]
    arguments = [None if argument == "None" else int(argument)] if argument else []
    result = getattr(stream, name)(*arguments)
    return result.decode("latin-1") if isinstance(result, bytes) else [line.decode("latin-1") for line in result]


def _read_lines(stream: Any) -> None:
    while stream.readline():
        pass


def _framing(environ: Environ) -> dict[str, Any]:
    names = ("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated")
    return {name: environ[name] for name in names if name in environ}


def _is_application(value: object) -> bool:
    if value is application or not (inspect.isfunction(value) or value is ClassWithIter):
        return False
    return list(inspect.signature(value).parameters) == ["environ", "start_response"]


APPLICATIONS: dict[str, Application] = {
    name: value for name, value in globals().copy().items() if _is_application(value)
}
