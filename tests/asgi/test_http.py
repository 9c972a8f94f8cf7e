"""ASGI over HTTP: scope, request and response (ASGI "HTTP & WebSocket", version 2.5, sections "HTTP")."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ServeAsgi
from raw_client import End, chunked, get, post, post_chunked, request
from ws_client import handshake
from wsgi_site import Site, body_json


def _scope(site: Site, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = body_json(site.fetch(data))
    return found


# --- Scope ----------------------------------------------------------------------------------------------------------


def test_the_scope_holds_what_the_specification_names(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get("/scope_dump/a%20b%2Fc?x=%C3%A4&y", ("X-One", "1"), ("x-two", "2"), ("X-One", " 3 ")))
    scope = body_json(connection.response())
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
    assert scope["path"] == "/scope_dump/a b/c"
    assert scope["raw_path"] == ["bytes", "/scope_dump/a%20b%2Fc"]
    assert scope["query_string"] == ["bytes", "x=%C3%A4&y"]
    assert scope["root_path"] == ""
    assert scope["client"] == ["tuple", "127.0.0.1", connection.port]
    assert scope["server"] == ["tuple", "127.0.0.1", asgi_site.server.port]
    assert scope["state"] == {"from startup": ["list", "shared"]}
    kind, *lines = scope["headers"]
    pairs = [(name[1], value[1]) for _, name, value in lines]
    assert kind == "list"
    assert pairs == [("host", "test.example"), ("x-one", "1"), ("x-two", "2"), ("x-one", "3")]


@pytest.mark.parametrize(("version", "seen"), [("HTTP/1.0", "1.0"), ("HTTP/1.1", "1.1")])
def test_the_version_has_no_prefix(asgi_site: Site, version: str, seen: str) -> None:
    assert _scope(asgi_site, request("GET", "/scope_dump", version=version))["http_version"] == seen


def test_paths_are_utf_8_and_what_is_none_is_replaced(asgi_site: Site) -> None:
    assert _scope(asgi_site, get("/scope_dump/%C3%A4"))["path"] == "/scope_dump/\u00e4"
    assert _scope(asgi_site, get("/scope_dump/%E4"))["path"] == "/scope_dump/\ufffd"


def test_an_absolute_target_has_a_path_and_a_host(asgi_site: Site) -> None:
    scope = _scope(asgi_site, get("http://other.example/scope_dump?q"))
    assert (scope["path"], scope["raw_path"][1], scope["query_string"][1]) == ("/scope_dump", "/scope_dump", "q")
    assert scope["headers"][1] == ["tuple", ["bytes", "host"], ["bytes", "other.example"]]


def test_what_one_request_does_to_its_scope_no_other_sees(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    for _ in range(4):
        connection.send(get("/scope_spoiled"))
        before, spoiled = body_json(connection.response())
        assert before == {
            "asgi": ["spec_version", "version"],
            "extensions": ["http.response.early_hint", "http.response.pathsend", "http.response.zerocopysend"],
            "state": ["from startup"],
        }
        assert not spoiled


@pytest.mark.parametrize("path", ["/api/scope_dump", "/scope_dump"])
def test_the_path_includes_the_root_path_whether_a_proxy_took_it_off_or_not(serve_asgi: ServeAsgi, path: str) -> None:
    site = serve_asgi("--root-path=/api")
    scope = _scope(site, get(path))
    assert (scope["root_path"], scope["path"], scope["raw_path"][1]) == ("/api", "/api/scope_dump", "/api/scope_dump")


def test_a_unix_socket_has_a_path_and_no_client(serve_asgi: ServeAsgi, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    site = serve_asgi(f"--bind=unix:{path}")
    scope = _scope(site, get("/scope_dump"))
    assert (scope["client"], scope["server"]) == (None, ["tuple", str(path), None])


# --- Request --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10_000, 70_000, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_arrive_whole_and_are_followed_by_a_disconnect(asgi_site: Site, size: int, framing: str) -> None:
    body = b"x" * size
    target = asgi_site.target("body_seen")
    data = post(target, body) if framing == "length" else request("POST", target, ("Transfer-Encoding", "chunked"))
    connection = asgi_site.connect()
    connection.send_in_background(data if framing == "length" else data + (chunked(body) if size else b"0\r\n\r\n"))
    assert body_json(connection.response())["total"] == size
    assert asgi_site.recorded("http.disconnect") == ["http.disconnect"]
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


def test_a_spooled_body_arrives_whole(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--request-buffering=full")
    assert body_json(site.post(b"x" * 1_000_000, "body_seen"))["total"] == 1_000_000


def test_a_body_is_echoed_while_it_arrives(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(request("POST", "/echo", ("Content-Length", "100000")) + b"a" * 70_000)
    response = connection.head()
    assert connection.read_chunk()[:1] == b"a"
    connection.send(b"b" * 30_000)
    connection.read_body(response)
    assert response.complete and response.body.endswith(b"b" * 30_000)


def test_a_cancelled_receive_loses_nothing(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(request("POST", "/cancelled_receive", ("Content-Length", "300000")))
    for _ in range(30):
        connection.send(b"x" * 10_000)
    assert body_json(connection.response()) == 300_000


def test_receive_and_send_can_be_run_as_tasks(asgi_site: Site) -> None:
    assert asgi_site.post(b"body", "received_in_a_task").body == b"body"


@pytest.mark.parametrize("stage", ["before", "streaming"])
def test_a_client_that_leaves_is_a_disconnect_and_then_an_os_error(asgi_site: Site, stage: str) -> None:
    log = len(asgi_site.server.log())
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("until_disconnect", stage=stage)))
    assert "started" in asgi_site.recorded("started")
    if stage == "streaming":
        connection.head()
        assert connection.read_chunk() == b"part"
    connection.close()
    seen = asgi_site.recorded("ClientDisconnected")
    assert seen == ["started", "http.disconnect", "http.disconnect", "ClientDisconnected"]
    assert "Traceback" not in asgi_site.whole_log()[log:], "that is no fault of the application"


def test_who_waited_before_the_stream_began_hears_of_a_disconnect(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("listening_first")))
    connection.head()
    assert connection.read_chunk() == b"part"
    connection.close()
    assert asgi_site.recorded("http.disconnect") == ["http.disconnect"]


def test_a_receive_cancelled_before_it_began_eats_nothing(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    target = asgi_site.target("cancelled_unstarted")
    connection.send(request("POST", target, ("Content-Length", "100000")) + b"x" * 70_000)
    assert "cancelled" in asgi_site.recorded("cancelled")
    connection.send(b"x" * 30_000)
    assert body_json(connection.response()) == 100_000


def test_tasks_that_outlive_the_application_hear_of_the_end(asgi_site: Site) -> None:
    assert not asgi_site.get("orphans").complete
    assert asgi_site.recorded("http.disconnect") == ["http.disconnect"]


# --- Response -------------------------------------------------------------------------------------------------------


def test_a_response_in_one_has_a_length(asgi_site: Site) -> None:
    response = asgi_site.get("hello")
    assert (response.status, response.reason, response.body) == (200, "OK", b"hello")
    assert response.header("Content-Length") == "5"
    assert response.header("Transfer-Encoding") is None


def test_a_response_in_several_is_chunked_and_leaves_at_once(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("streamed_in_steps")))
    response = connection.head()
    assert response.header("Transfer-Encoding") == "chunked"
    assert connection.read_chunk() == b"first"
    asgi_site.open_gate()
    assert (connection.read_chunk(), connection.read_chunk()) == (b"second", b"")


@pytest.mark.parametrize(("count", "size"), [(0, 1), (1, 0), (3, 1), (1000, 10), (50, 100_000)])
def test_streams_arrive_whole(asgi_site: Site, count: int, size: int) -> None:
    response = asgi_site.get("streamed", count=count, size=size)
    assert (response.body, response.end) == (b"x" * count * size, End.COMPLETE)


def test_start_needs_no_headers_and_body_needs_no_keys(asgi_site: Site) -> None:
    response = asgi_site.get("bare_start")
    assert (response.status, response.body, response.header("Content-Length")) == (202, b"", "0")


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview"])
def test_headers_may_be_any_iterable_and_bodies_any_bytes(asgi_site: Site, kind: str) -> None:
    response = asgi_site.get("any_headers", kind=kind)
    assert response.body == b"buffer"
    names = [header for header in response.headers if header[0].lower().startswith("x-")]
    assert names == [("x-One", "1"), ("x-two", "\u00e4"), ("x-One", "3")], "order and spelling are kept"


def test_hop_by_hop_headers_of_the_application_are_left_out(asgi_site: Site) -> None:
    response = asgi_site.get("hop_by_hop")
    assert (response.body, response.header("X-Kept")) == (b"body", "1")
    assert (response.header("Transfer-Encoding"), response.header("Connection")) == (None, None)


@pytest.mark.parametrize("app", ["hello", "streamed", "streamed_in_steps"])
def test_head_gets_no_body(asgi_site: Site, app: str) -> None:
    asgi_site.open_gate()
    connection = asgi_site.connect()
    connection.send(request("HEAD", asgi_site.target(app, count=3, size=10)))
    assert connection.response("HEAD").status == 200
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_drops_the_body(asgi_site: Site, status: int) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("with_length", length=3, sizes="2,1", status=status)))
    assert connection.response().status == status
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


@pytest.mark.parametrize("sizes", ["10", "3,7", "10,0"])
def test_a_body_of_the_promised_length(asgi_site: Site, sizes: str) -> None:
    response = asgi_site.get("with_length", length=10, sizes=sizes)
    assert (response.body, response.header("Content-Length"), response.complete) == (b"x" * 10, "10", True)


@pytest.mark.parametrize("sizes", ["9", "11"])
def test_a_body_in_one_of_another_length_is_500(asgi_site: Site, sizes: str) -> None:
    assert asgi_site.get("with_length", length=10, sizes=sizes).status == 500


@pytest.mark.parametrize("sizes", ["3,6", "3,8"])
def test_a_streamed_body_of_another_length_is_seen_to_break_off(asgi_site: Site, sizes: str) -> None:
    response = asgi_site.get("with_length", length=10, sizes=sizes)
    assert response.status == 200 and len(response.body) < 10 and not response.complete


MISTAKES = [
    ("no dict", "TypeError: send() takes an event, a dict, not str"),
    ("no type", 'ValueError: the event has no "type"'),
    ("unknown type", "ValueError: unknown event 'http.response.end' for an HTTP response that has not started"),
    ("body first", "RuntimeError: unexpected event 'http.response.body': 'http.response.start' must come first"),
    ("two starts", "RuntimeError: unexpected event 'http.response.start': the response has started already"),
    ("text body", "TypeError: a body must be bytes, not str"),
    ("text header", "TypeError: headers must be (name, value) pairs of two byte strings, not ('a', 'b')"),
    ("bad header", 'ValueError: the value of header "a" holds a control character'),
    ("bad name", 'ValueError: header name "a b" holds a character that no header name may hold'),
    ("three in a pair", "TypeError: headers must be (name, value) pairs of two byte strings, not (b'a', b'b', b'c')"),
    ("no status", 'ValueError: http.response.start has no "status"'),
    ("text status", "TypeError: the status must be an int such as 200, not 200 OK"),
    ("interim status", "ValueError: status 103 is not a final response"),
    ("huge status", "ValueError: status must be"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[name for name, _ in MISTAKES])
def test_a_mistaken_event_raises_in_the_application_and_is_500(asgi_site: Site, mistake: str, message: str) -> None:
    assert asgi_site.get("mistaken", mistake=mistake).status == 500
    (seen,) = asgi_site.recorded()
    assert seen.replace('"', "'").startswith(message.replace('"', "'"))


def test_a_second_start_while_streaming_breaks_the_response_off(asgi_site: Site) -> None:
    response = asgi_site.get("mistaken", mistake="start while streaming")
    assert response.status == 200 and not response.complete


def test_an_event_behind_the_end_raises(asgi_site: Site) -> None:
    assert asgi_site.get("sends_after_the_end").body == b"hello"
    message = 'RuntimeError: unexpected event "http.response.body": the response is complete already'
    assert asgi_site.recorded(message) == [message]


@pytest.mark.parametrize("stage", ["before", "started"])
def test_an_exception_before_the_head_is_500_and_logged_once(asgi_site: Site, stage: str) -> None:
    response = asgi_site.get("raising", stage=stage)
    assert (response.status, b"boom" in response.body) == (500, False)
    assert asgi_site.whole_log().count(f"RuntimeError: boom {asgi_site.key}") == 1


def test_an_exception_while_streaming_breaks_the_response_off(asgi_site: Site) -> None:
    response = asgi_site.get("raising", stage="streaming")
    assert (response.status, response.complete) == (200, False)
    assert asgi_site.whole_log().count(f"RuntimeError: boom {asgi_site.key}") == 1


@pytest.mark.parametrize("stage", ["before", "started"])
def test_an_application_without_a_response_is_500(asgi_site: Site, stage: str) -> None:
    assert asgi_site.get("silent", stage=stage).status == 500
    asgi_site.server.wait_log(rf"GET /silent\S*{asgi_site.key}\S*.*without beginning its response|without beginning")


def test_an_application_that_does_not_complete_its_response_breaks_it_off(asgi_site: Site) -> None:
    response = asgi_site.get("silent", stage="streaming")
    assert (response.status, response.complete) == (200, False)


def test_send_waits_for_a_client_that_does_not_read(asgi_site: Site) -> None:
    connection = asgi_site.connect(receive_buffer=10_000)
    connection.send(get(asgi_site.target("endless")))
    connection.head()
    last = -1
    while (now := asgi_site.json("produced")) != last:
        last = now
    assert last < 8_000_000, "what the kernel and we hold"
    asgi_site.assert_alive()
    connection.reset()
    assert "ended" in asgi_site.recorded("ended")


# --- Extensions -----------------------------------------------------------------------------------------------------


def test_a_file_is_sent_by_its_path(asgi_site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 100_000)
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("sent_by_path", path=path)))
    response = connection.response()
    assert (response.body, response.header("Content-Length")) == (path.read_bytes(), "1000000")
    assert asgi_site.recorded("http.disconnect") == ["http.request", "http.disconnect"]
    connection.send(request("HEAD", asgi_site.target("sent_by_path", path=path)))
    assert connection.response("HEAD").header("Content-Length") == "1000000"
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/nowhere/at/all", {}, "FileNotFoundError: "),
        ("relative", {}, "ValueError: the path relative is not absolute"),
        ("/dev/null", {}, "ValueError: /dev/null is no regular file"),
        (__file__, {"length": 3}, "RuntimeError: the body is longer than its Content-Length"),
        (__file__, {"length": 10**9}, "RuntimeError: the body is shorter than its Content-Length"),
    ],
)
def test_a_path_that_cannot_be_sent_raises_and_is_500(
    asgi_site: Site, path: str, query: dict[str, int], message: str
) -> None:
    assert asgi_site.get("sent_by_path", path=path, **query).status == 500
    (seen,) = asgi_site.recorded(seconds=5)
    assert seen.startswith(message)


def test_a_path_behind_a_part_of_the_body_raises(asgi_site: Site) -> None:
    response = asgi_site.get("sent_by_path", path=__file__, before="yes")
    assert (response.status, response.complete) == (200, False)
    assert "must be the only one" in asgi_site.recorded()[0]


@pytest.mark.parametrize(
    ("parts", "expected", "position"),
    [
        (["f::"], slice(0, None), 10_000_000),
        (["f:100:"], slice(100, None), 0),
        (["f:100:50"], slice(100, 150), 0),
        (["f::50", "f::"], slice(0, None), 10_000_000),
        (["f::0"], slice(0, 0), 0),
        (["f:9999990:", "f:0:5", "b:"], None, 0),
    ],
)
def test_a_file_is_sent_by_its_descriptor(
    asgi_site: Site, tmp_path: Path, parts: list[str], expected: slice | None, position: int
) -> None:
    path = tmp_path / "file"
    content = b"0123456789" * 1_000_000
    path.write_bytes(content)
    response = asgi_site.get("sent_by_descriptor", path=path, parts=",".join(parts))
    assert response.body == (b"012345678901234" if expected is None else content[expected])
    assert (response.header("Content-Length") is not None) == (len(parts) == 1)
    assert asgi_site.recorded(str(position)) == [str(position)]


def test_a_file_stands_between_other_parts_of_a_body(asgi_site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    connection = asgi_site.connect(receive_buffer=4096)
    connection.send(
        get(asgi_site.target("sent_by_descriptor", path=path, parts="b:head,f:0:2000000,b:between,f::,b:end"))
    )
    connection.receive_slowly(pause=0.01, step=50_000, times=10)
    expected = b"head" + b"x" * 2_000_000 + b"between" + b"x" * 3_000_000 + b"end"
    assert connection.response().body == expected


def test_many_stretches_of_a_file_follow_each_other(asgi_site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 13_000)
    parts = ",".join(["f:0:130000"] * 200 + ["b:end"])
    for _ in range(5):
        response = asgi_site.get("sent_by_descriptor", path=path, parts=parts)
        assert response.complete and len(response.body) == 200 * 130_000 + 3


def test_events_that_were_not_received_keep_their_order(asgi_site: Site) -> None:
    body = b"".join(b"%09d," % number for number in range(20_000))
    response = asgi_site.post(body, "gives_back")
    assert response.body == body


def test_a_client_that_leaves_a_file_is_noticed(asgi_site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000_000)
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("sent_by_descriptor", path=path, parts="f:0:,b:end")))
    assert connection.head().status == 200
    connection.reset()
    asgi_site.assert_alive()
    assert asgi_site.recorded("ClientDisconnected") == ["ClientDisconnected"]
    assert f"sent_by_descriptor?key={asgi_site.key}" not in asgi_site.whole_log()


def test_what_is_no_file_raises(asgi_site: Site) -> None:
    assert asgi_site.get("mistaken_descriptor").body == b"still there"
    assert asgi_site.recorded() == [
        *("pipe ValueError", "closed OSError", "negative ValueError", "text TypeError", "none ValueError"),
        *("count ValueError", "offset ValueError"),
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_trailers_follow_the_body_for_those_who_take_them(asgi_site: Site, count: int) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("trailing", count=count), ("TE", "trailers, deflate;q=0.5")))
    response = connection.head()
    assert response.header("Transfer-Encoding") == "chunked"
    body = b""
    while not body.endswith(b"\r\n\r\n"):
        body += connection.read_some()
    assert body.endswith(b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n") and body.count(b"part") == count
    assert asgi_site.recorded("trailers") == ["trailers"]
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_trailers_are_left_out_for_those_who_do_not(asgi_site: Site, method: str, count: int) -> None:
    connection = asgi_site.connect()
    connection.send(request(method, asgi_site.target("trailing", count=count)))
    assert connection.response(method).body == (b"" if method == "HEAD" else b"part" * count)
    assert asgi_site.recorded("not advertised") == ["not advertised"]
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"


def test_early_hints_leave_before_the_response(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("hinting")))
    hint = connection.head()
    assert (hint.status, hint.all("Link")) == (103, ["</a.css>; rel=preload", "</b.js>; rel=preload"])
    asgi_site.open_gate()
    response = connection.response()
    assert (response.status, response.body, len(response.interim)) == (200, b"hinted", 1)


def test_http_1_0_gets_no_early_hints(asgi_site: Site) -> None:
    assert asgi_site.fetch(request("GET", asgi_site.target("hinting"), version="HTTP/1.0")).body == b"none"


# --- Options --------------------------------------------------------------------------------------------------------


def test_the_spec_version_can_be_lowered(serve_asgi: ServeAsgi) -> None:
    assert _scope(serve_asgi("--asgi-spec-version=2.3"), get("/scope_dump"))["asgi"]["spec_version"] == "2.3"


@pytest.mark.parametrize("stage", ["before", "streaming"])
def test_a_task_is_cancelled_when_its_client_leaves_if_that_is_asked_for(serve_asgi: ServeAsgi, stage: str) -> None:
    site = serve_asgi("--cancel-on-disconnect")
    connection = site.connect()
    connection.send(get(site.target("cancellable", stage=stage, seconds=30)))
    assert "started" in site.recorded("started")
    connection.close()
    assert site.recorded("cancelled") == ["started", "cancelled"]
    assert "WARN" not in site.whole_log() and "Traceback" not in site.whole_log()
    response = site.get("background", seconds=0.1)
    assert response.body == b"hello"
    site.server.wait_log("background done")


def test_a_task_goes_on_without_its_client_by_default(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("cancellable", stage="before", seconds=0.3)))
    assert "started" in asgi_site.recorded("started")
    connection.close()
    assert asgi_site.recorded("slept") == ["started", "slept"]


def test_requests_of_one_connection_keep_their_order(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get(asgi_site.target("slept", seconds=0.2)) + get("/hello"))
    assert (connection.response().body, connection.response().body) == (b"slept", b"hello")


def test_a_thousand_at_once(asgi_site: Site) -> None:
    connections = [asgi_site.connect() for _ in range(200)]
    for _ in range(5):
        for connection in connections:
            connection.send(get(asgi_site.target("slept", seconds=0.05)))
        assert {connection.response().body for connection in connections} == {b"slept"}


def test_post_and_json(asgi_site: Site) -> None:
    data = json.dumps({"a": "b" * 100}).encode()
    connection = asgi_site.connect()
    for _ in range(20):
        connection.send(post("/echo", data))
        assert connection.response().body == data
    connection.send(post_chunked("/echo", data[:7], data[7:]))
    assert connection.response().body == data
    assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize("size", [5, 200_000])
def test_a_client_that_waits_is_asked_to_go_on_when_the_application_receives(serve_asgi: ServeAsgi, size: int) -> None:
    site = serve_asgi(code=EXPECTED)
    expecting = [("Expect", "100-continue"), ("Content-Length", str(size))]
    asked = site.connect()
    asked.send(request("POST", "/asked", *expecting))
    time.sleep(0.3)
    assert asked.is_open() and not asked.has_bytes()
    site.server.signal(signal.SIGUSR1)
    assert asked.head().status == 100
    asked.send(b"x" * size)
    assert asked.response().body == str(size).encode()
    refused = site.connect()
    refused.send(request("POST", "/refused", *expecting))
    response = refused.response()
    assert (response.status, response.interim) == (403, [])
    assert refused.wait_closed() == b""


EXPECTED = """
import asyncio
import signal


async def app(scope, receive, send):
    assert scope["type"] == "http"
    status, body = 403, b""
    if scope["path"] == "/asked":
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
        await told.wait()
        while (event := await receive())["more_body"]:
            body += event["body"]
        status, body = 200, str(len(body + event["body"])).encode()
    await send({"type": "http.response.start", "status": status})
    await send({"type": "http.response.body", "body": body})
"""


# --- What a client's leaving comes to ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["plain", "named", "caused", "mistake"])
def test_a_client_that_left_is_no_error_of_an_application_that_hears_of_it_by_sending(
    serve_asgi: ServeAsgi, how: str
) -> None:
    site = serve_asgi(code=SENDING_ON)
    connection = site.connect()
    connection.send(get(f"/{how}"))
    assert connection.head().status == 200
    connection.close()
    site.server.wait_output("ended")
    assert site.server.stop() == 0
    log = site.server.log()
    if how == "mistake":
        assert "ERROR" in log and "KeyError: 'a mistake'" in log
    else:
        assert "ERROR" not in log and "Traceback" not in log


SENDING_ON = """
import asyncio


class NamedDisconnect(Exception):
    pass


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.01)
    except OSError as error:
        print("ended", flush=True)
        if scope["path"] == "/named":
            raise NamedDisconnect
        if scope["path"] == "/caused":
            raise LookupError from error
        if scope["path"] == "/mistake":
            raise KeyError("a mistake")
        raise
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_below_version_2_4_sending_to_nobody_does_nothing(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", "--asgi-spec-version=2.3", code=SENDING_ALL)
    for path, opening in (("/http", get("/http")), ("/ws", handshake("/ws"))):
        connection = site.connect()
        connection.send(opening)
        connection.head()
        connection.reset()
        site.server.wait_output(f"{path} all sent")
    assert site.server.stop() == 0
    assert "ERROR" not in site.server.log()


SENDING_ALL = """
import asyncio


async def app(scope, receive, send):
    assert scope["type"] in ("http", "websocket")
    await receive()
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        part = {"type": "http.response.body", "body": b"x" * 100_000, "more_body": True}
    else:
        await send({"type": "websocket.accept"})
        part = {"type": "websocket.send", "bytes": b"x" * 100_000}
    for _ in range(200):
        await send(part)
        await asyncio.sleep(0.001)
    print(scope["path"], "all sent", flush=True)
"""


def test_a_client_that_leaves_before_its_trailers_is_noticed(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(code=OWING_TRAILERS)
    connection = site.connect()
    connection.send(get("/", ("TE", "trailers")))
    assert connection.head().status == 200
    connection.close()
    site.server.wait_output("http.disconnect ClientDisconnected")


OWING_TRAILERS = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"x"})
    event = await receive()
    try:
        await send({"type": "http.response.trailers", "headers": [(b"a", b"b")]})
    except OSError as error:
        print(event["type"], type(error).__name__, flush=True)
"""


def test_an_endless_answer_to_head_hears_at_once_that_nobody_wants_it(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi(code=ENDLESS)
    assert site.fetch(request("HEAD", "/"), "HEAD").status == 200
    site.server.wait_output("http.disconnect")


ENDLESS = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    print((await receive())["type"], flush=True)
"""
