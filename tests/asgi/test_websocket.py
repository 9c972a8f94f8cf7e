"""WebSockets (RFC 6455, RFC 7692; ASGI "HTTP & WebSocket", version 2.5, sections "WebSocket")."""

from __future__ import annotations

import ast
import signal
import time
import zlib
from collections.abc import Iterator

import pytest
from conftest import Serve, ServeAsgi
from raw_client import Response, get, post, request
from serving import ServerProcess
from websockets.sync.client import connect
from websockets.sync.connection import Connection as Library
from ws_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    WebSocket,
    accept_value,
    close_payload,
    frame,
    handshake,
)
from wsgi_site import Site, wait_until

MEGABYTE = 1024 * 1024


def _open(
    site: Site, app: str = "ws_echo", /, *headers: tuple[str, str], early: bytes = b"", **query: object
) -> WebSocket:
    return WebSocket.open(site, site.target(app, **query), *headers, early=early)


def _refused(site: Site, app: str, **query: object) -> Response:
    connection = site.connect()
    connection.send(handshake(site.target(app, **query)))
    return connection.response()


def _library(site: Site, app: str = "ws_echo", **options: object) -> Library:
    host, port = site.address
    return connect(f"ws://{host}:{port}{site.target(app)}", max_size=None, **options)  # type: ignore[arg-type]


# --- Handshake ------------------------------------------------------------------------------------------------------


def test_the_handshake_is_that_of_the_rfc(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    response = websocket.response
    assert (response.header("upgrade"), response.header("connection")) == ("websocket", "Upgrade")
    assert response.header("sec-websocket-extensions") is None
    assert response.header("content-length") is None and response.header("transfer-encoding") is None
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_scope_holds_what_the_specification_names(asgi_site: Site) -> None:
    target = "/ws_scope/a%20b?x=1"
    for _ in range(2):
        websocket = WebSocket.open(
            asgi_site, target, ("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "c")
        )
        scope = ast.literal_eval(websocket.read().payload.decode())
        assert scope["type"] == "websocket" and "method" not in scope
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
        assert (scope["http_version"], scope["scheme"]) == ("1.1", "ws")
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
            "/ws_scope/a b",
            b"/ws_scope/a%20b",
            b"x=1",
        )
        assert scope["root_path"] == ""
        assert scope["subprotocols"] == ["a", "b", "c"]
        assert scope["client"] == ("127.0.0.1", websocket.connection.port)
        assert scope["server"] == ("127.0.0.1", asgi_site.server.port)
        assert scope["state"] == {"from startup": ["shared"]}
        assert scope["extensions"] == {"websocket.http.response": {}}
        assert (b"sec-websocket-version", b"13") in scope["headers"]


def test_the_application_chooses_a_subprotocol_and_adds_headers_in_order(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_accepting", ("Sec-WebSocket-Protocol", "soap, chat"), subprotocol="chat")
    response = websocket.response
    assert response.header("sec-websocket-protocol") == "chat"
    assert response.all("x-one") == ["1", "2"] and response.header("set-cookie") == "a=b"
    assert websocket.read() == Frame(TEXT, b"['soap', 'chat']")


def test_without_a_subprotocol_none_is_sent(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_accepting", ("Sec-WebSocket-Protocol", "soap"))
    assert websocket.response.header("sec-websocket-protocol") is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"subprotocol": "mqtt"}, 'the client has not offered the subprotocol "mqtt" (see scope["subprotocols"])'),
        (
            {"header": "Sec-WebSocket-Protocol"},
            'the header "Sec-WebSocket-Protocol" is the server\'s in a handshake; use "subprotocol"',
        ),
        ({"header": "sec-websocket-accept"}, 'the header "sec-websocket-accept" is the server\'s in a handshake'),
    ],
)
def test_what_cannot_be_accepted_raises(asgi_site: Site, query: dict[str, str], message: str) -> None:
    assert _refused(asgi_site, "ws_accepting", **query).status == 500
    assert asgi_site.recorded(message) == [message]


@pytest.mark.parametrize("version", ["12", "8", "", "13, 12"])
def test_another_version_is_told_which_one_there_is(asgi_site: Site, version: str) -> None:
    response = asgi_site.fetch(handshake(asgi_site.target("ws_echo"), version=version))
    assert (response.status, response.header("sec-websocket-version")) == (426, "13")
    asgi_site.assert_alive()


@pytest.mark.parametrize("key", [None, "", "short", "AAAAAAAAAAAAAAAAAAAAAA", "!!!!!!!!!!!!!!!!!!!!!!=="])
def test_a_bad_key_is_refused(asgi_site: Site, key: str | None) -> None:
    assert asgi_site.fetch(handshake(asgi_site.target("ws_echo"), key=key)).status == 400


def test_two_keys_are_refused(asgi_site: Site) -> None:
    data = handshake(asgi_site.target("ws_echo"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="))
    assert asgi_site.fetch(data).status == 400


def test_other_upgrades_are_plain_requests(asgi_site: Site) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "h2c")]
    assert asgi_site.fetch(get("/hello", *upgrade)).body == b"hello"
    websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    assert asgi_site.fetch(post("/hello", b"body", *websocket)).body == b"hello"
    assert asgi_site.fetch(request("GET", "/hello", *websocket, version="HTTP/1.0")).body == b"hello"
    assert asgi_site.fetch(get("/hello", websocket[1])).body == b"hello"


def test_a_wsgi_application_answers_who_asks_for_a_websocket_as_anybody(serve: Serve) -> None:
    assert serve().fetch(handshake("/hello")).body == b"hello"


def test_a_websocket_follows_requests_on_its_connection(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(get("/hello"))
    assert connection.response().body == b"hello"
    connection.send(handshake(asgi_site.target("ws_echo")))
    websocket = WebSocket(connection, connection.head())
    websocket.send(TEXT, b"hi")
    assert websocket.read() == Frame(TEXT, b"hi")


def test_frames_that_come_with_the_handshake_are_not_lost(asgi_site: Site) -> None:
    websocket = _open(asgi_site, early=frame(TEXT, b"one") + frame(TEXT, b"two")[:5])
    assert websocket.read() == Frame(TEXT, b"one")


# --- Refusing -------------------------------------------------------------------------------------------------------


def test_closing_before_accepting_is_403(asgi_site: Site) -> None:
    assert _refused(asgi_site, "ws_refusing").status == 403
    assert asgi_site.recorded("1006") == ["1006"]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_denial_response_is_the_applications_own(asgi_site: Site, parts: int) -> None:
    response = _refused(asgi_site, "ws_denying", parts=parts)
    assert (response.status, response.header("x-why")) == (401, "no ticket")
    assert response.body == b"".join(b"%d," % number for number in range(parts)) and response.complete
    assert response.header("upgrade") is None and response.header("sec-websocket-accept") is None
    assert asgi_site.recorded("1006") == ["1006"]


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("when", ["undecided", "denying"])
def test_an_application_that_ends_undecided_has_failed(asgi_site: Site, when: str, how: str) -> None:
    assert _refused(asgi_site, "ws_failing", when=when, how=how).status == 500
    asgi_site.server.wait_log(
        f"raised for {asgi_site.key}" if how == "raise" else "ended without accepting or refusing the WebSocket"
    )


# --- Messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MEGABYTE])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_all_sizes_come_back(asgi_site: Site, opcode: int, size: int) -> None:
    websocket = _open(asgi_site)
    websocket.connection.send_in_background(frame(opcode, b"x" * size))
    assert websocket.read() == Frame(opcode, b"x" * size)


def test_fragments_are_one_message_and_pings_between_are_answered(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    text = "\u00e4\U0001f600".encode()
    for number, byte in enumerate(text):
        websocket.send(CONTINUATION if number else TEXT, bytes([byte]), fin=False)
        websocket.send(PING, b"%d" % number)
    websocket.send(CONTINUATION)
    frames = [websocket.read() for _ in range(len(text) + 1)]
    assert frames == [Frame(PONG, b"%d" % number) for number in range(len(text))] + [Frame(TEXT, text)]


def test_a_pong_nobody_asked_for_is_ignored(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    websocket.send(PONG, b"unasked")
    websocket.send(TEXT, b"hi")
    assert websocket.read() == Frame(TEXT, b"hi")


def test_frames_may_come_byte_by_byte(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    for byte in frame(TEXT, b"slowly") + frame(BINARY, b"y" * 200):
        websocket.connection.send(bytes([byte]))
    assert [websocket.read(), websocket.read()] == [Frame(TEXT, b"slowly"), Frame(BINARY, b"y" * 200)]


def test_many_messages_keep_their_order(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    websocket.connection.send_in_background(b"".join(frame(TEXT, b"%d" % number) for number in range(5000)))
    assert [int(websocket.read().payload) for _ in range(5000)] == list(range(5000))


def test_one_task_receives_while_another_one_sends(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_concurrent")
    for number in range(20):
        websocket.send(TEXT, b"%d" % number)
    texts = [websocket.read().payload.decode() for _ in range(120)]
    assert [text for text in texts if not text.startswith("echo")] == [str(number) for number in range(100)]
    assert [text for text in texts if text.startswith("echo")] == [f"echo {number}" for number in range(20)]


def test_a_receive_that_is_given_up_loses_no_message(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_cancelled_receive")
    assert websocket.read() == Frame(TEXT, b"go")
    for text in (b"a", b"b", b"c"):
        websocket.send(TEXT, text)
    assert websocket.read() == Frame(TEXT, b"a,b,c")


def test_the_library_agrees(asgi_site: Site) -> None:
    for compression in (None, "deflate"):
        with _library(asgi_site, compression=compression) as websocket:
            for message in ("hi", b"\0\1", "\u00e4" * 100, "x" * 100_000, b"y" * MEGABYTE, ""):
                websocket.send(message)
                assert websocket.recv() == message
            assert websocket.ping().wait(10)
            websocket.close(4001, "why")
            assert websocket.close_code == 4001
    asgi_site.recorded("4001 why", "4001 why")


# --- Errors of the application --------------------------------------------------------------------------------------

REFUSED = "the WebSocket has been refused"
UNACCEPTED = "the WebSocket has not been accepted"
ACCEPTED = "the WebSocket has been accepted"
CLOSED = "the WebSocket has been closed"


@pytest.mark.parametrize(
    ("sent", "errors"),
    [
        ("text,close", [f'text: RuntimeError: unexpected event "websocket.send": {UNACCEPTED}']),
        ("accept,accept", [f'accept: RuntimeError: unexpected event "websocket.accept": {ACCEPTED}']),
        ("accept,close,text", [f'text: RuntimeError: unexpected event "websocket.send": {CLOSED}']),
        ("accept,close,close", [f'close: RuntimeError: unexpected event "websocket.close": {CLOSED}']),
        ("close,accept", [f'accept: RuntimeError: unexpected event "websocket.accept": {REFUSED}']),
        ("close,close", [f'close: RuntimeError: unexpected event "websocket.close": {REFUSED}']),
        ("accept,denial", [f'denial: RuntimeError: unexpected event "websocket.http.response.start": {ACCEPTED}']),
        ("denial body,close", [f'denial body: RuntimeError: unexpected event "websocket.http.response.body": {UNACCEPTED}']),
        ("denial,denial body,denial body", ["denial body: RuntimeError: unexpected event \"http.response.body\": the response is complete already"]),
        ("denial,accept,denial body", [f'accept: RuntimeError: unexpected event "websocket.accept": {REFUSED}']),
        ("accept,neither", ['neither: ValueError: websocket.send has neither "text" nor "bytes"']),
        ("accept,bytes as text", ["bytes as text: TypeError: a message's text must be a str, not bytes"]),
        ("accept,text as bytes", ["text as bytes: TypeError: a message must be bytes, not str"]),
        ("accept,http", ['http: ValueError: unknown event "http.response.start" for a WebSocket that has been accepted']),
        ("accept,no type", ['no type: ValueError: the event has no "type"']),
        ("no dict,close", ["no dict: TypeError: send() takes an event, a dict, not str"]),
        ("accept,bytes,both", []),
    ],
)  # fmt: skip
def test_mistakes_raise_in_the_application_and_name_the_event(asgi_site: Site, sent: str, errors: list[str]) -> None:
    connection = asgi_site.connect()
    connection.send(handshake(asgi_site.target("ws_mistaken", events=sent)))
    assert asgi_site.recorded("done") == [*errors, "done"]
    asgi_site.assert_alive()


def test_text_that_cannot_be_encoded_raises(asgi_site: Site) -> None:
    _open(asgi_site, "ws_mistaken", events="accept,surrogate")
    (error, done) = asgi_site.recorded("done")
    assert error.startswith("surrogate: UnicodeEncodeError") and done == "done"


# --- Closing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "seen", "echoed"),
    [
        (b"", "1005", (None, "")),
        (close_payload(1000), "1000", (1000, "")),
        (close_payload(1001, "going away"), "1001 going away", (1001, "")),
        (close_payload(4999, "\u00e4"), "4999 \u00e4", (4999, "")),
    ],
)
def test_a_clients_close_is_told_and_echoed(
    asgi_site: Site, payload: bytes, seen: str, echoed: tuple[int | None, str]
) -> None:
    websocket = _open(asgi_site, "ws_until_told")
    websocket.send(CLOSE, payload)
    assert websocket.read_close() == echoed
    assert websocket.wait_closed() == b""
    assert asgi_site.recorded(seen, "ClientDisconnected") == ["accepted", seen, "ClientDisconnected"]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_is_1006(asgi_site: Site, how: str) -> None:
    websocket = _open(asgi_site, "ws_until_told")
    asgi_site.recorded("accepted")
    websocket.connection.close() if how == "close" else websocket.connection.reset()
    assert asgi_site.recorded("1006", "ClientDisconnected") == ["accepted", "1006", "ClientDisconnected"]


def test_tasks_that_an_application_leaves_behind_hear_of_the_end_at_once(asgi_site: Site) -> None:
    _open(asgi_site, "ws_orphaned")
    # The client takes nothing, and does not answer the close.
    wanted = ["ClientDisconnected", "websocket.disconnect"]
    assert sorted(asgi_site.recorded(*wanted, seconds=5)) == wanted


def test_a_client_that_vanishes_before_the_answer_is_noticed(asgi_site: Site) -> None:
    connection = asgi_site.connect()
    connection.send(handshake(asgi_site.target("ws_undecided")))
    asgi_site.recorded("undecided")
    connection.close()
    assert asgi_site.recorded("1006", "ClientDisconnected") == ["undecided", "1006", "ClientDisconnected"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (1000, "")),
        ({"code": 4001, "reason": "why"}, (4001, "why")),
        ({"code": 3000, "reason": "x" * 123}, (3000, "x" * 123)),
    ],
)
def test_the_applications_close_comes_behind_its_messages(
    asgi_site: Site, query: dict[str, object], expected: tuple[int, str]
) -> None:
    websocket = _open(asgi_site, "ws_closing", **query)
    assert websocket.read() == Frame(BINARY, b"last")
    assert websocket.read_close() == expected
    websocket.send(CLOSE, close_payload(expected[0]))
    assert websocket.wait_closed() == b""
    assert asgi_site.recorded(str(expected[0])) == [str(expected[0])]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"code": 1005}, "1005 is no code that a WebSocket can be closed with"),
        ({"code": 1006}, "1006 is no code that a WebSocket can be closed with"),
        ({"code": 70000}, "70000 is no code that a WebSocket can be closed with"),
        ({"reason": "x" * 124}, "the reason for closing has 124 bytes in UTF-8; 123 are possible"),
    ],
)
def test_a_close_that_cannot_be_sent_raises(asgi_site: Site, query: dict[str, object], message: str) -> None:
    websocket = _open(asgi_site, "ws_closing", **query)
    assert websocket.read() == Frame(BINARY, b"last")
    assert websocket.read_close() == (1011, "")
    assert asgi_site.recorded(message) == [message]


@pytest.mark.parametrize(("how", "code"), [("raise", 1011), ("return", 1000)])
def test_an_application_that_ends_without_closing_is_closed(asgi_site: Site, how: str, code: int) -> None:
    websocket = _open(asgi_site, "ws_failing", when="accepted", how=how)
    assert websocket.read_close() == (code, "")
    if how == "raise":
        asgi_site.server.wait_log(f"raised for {asgi_site.key}")


@pytest.mark.parametrize("interval", [20, 0])
def test_a_client_that_never_answers_a_close_is_left(serve_asgi: ServeAsgi, interval: int) -> None:
    site = serve_asgi(f"--ws-ping-interval={interval}")
    websocket = _open(site, "ws_closing")
    websocket.read()
    begin = time.monotonic()
    assert websocket.read_close() == (1000, "")
    if interval:
        # It goes on sending as if nothing had happened.
        websocket.send(TEXT, b"what?")
    assert websocket.wait_closed() == b""
    assert 5 < time.monotonic() - begin < 20
    assert site.recorded("1006") == ["1006"]


# --- Hostile clients ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", masked=False), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(TEXT, rsv=4), 1002),
        (frame(TEXT, rsv=2), 1002),
        (frame(TEXT, rsv=1), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, fin=False), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, close_payload(1005)), 1002),
        (frame(CLOSE, close_payload(999)), 1002),
        (frame(CLOSE, close_payload(1000) + b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xff", fin=False), 1007),
        (b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff1234", 1009),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x001234", 1002),
    ],
    ids=lambda value: value.hex()[:24] if isinstance(value, bytes) else str(value),
)
def test_what_breaks_the_protocol_closes_the_connection_and_says_why(asgi_site: Site, data: bytes, code: int) -> None:
    websocket = _open(asgi_site)
    # What came before is still answered.
    websocket.connection.send(frame(TEXT, b"before") + data)
    assert websocket.read() == Frame(TEXT, b"before")
    told, reason = websocket.read_close()
    assert (told, bool(reason)) == (code, True)
    assert websocket.wait_closed() == b""
    assert asgi_site.recorded(f"{code} {reason}") == [f"{code} {reason}"]


def test_a_message_beyond_the_limit_is_1009_and_one_at_the_limit_is_none(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--ws-max-size=1K")
    for first, last in ((1024, None), (1000, 24)):
        websocket = _open(site)
        websocket.send(BINARY, b"x" * first, fin=last is None)
        if last is not None:
            websocket.send(CONTINUATION, b"x" * last)
        assert websocket.read() == Frame(BINARY, b"x" * 1024)
    websocket = _open(site)
    websocket.send(BINARY, b"x" * 1025)
    assert websocket.read_close()[0] == 1009
    site.recorded("1009 a message is too large")


def test_a_bomb_is_measured_after_inflating(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_echo", ("Sec-WebSocket-Extensions", "permessage-deflate"))
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(bytes(17 * MEGABYTE)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    websocket.send(BINARY, bomb[:-4], rsv=4)
    assert websocket.read_close()[0] == 1009
    asgi_site.recorded("1009 a message is too large")


def test_a_client_that_reads_nothing_holds_the_application_back(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_sending", size=64 * 1024, count=1000)
    produced = lambda: asgi_site.json("produced")  # noqa: E731
    wait_until(lambda: produced() > 0, "the first message")
    before = -1
    while produced() != before:
        before = produced()
        time.sleep(0.3)
    assert before < 500, "megabytes went nowhere"
    for number in range(1000):
        assert websocket.read().payload[:4] == number.to_bytes(4, "big")
    assert asgi_site.recorded("all sent") == ["all sent"]


def test_a_client_that_reads_slowly_but_steadily_gets_all_of_a_message(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--write-timeout=1", "--ws-ping-interval=0.5", "--ws-ping-timeout=0.5")
    connection = site.connect(receive_buffer=8192)
    connection.send(handshake(site.target("ws_sending", size=8 * MEGABYTE, count=1)))
    websocket = WebSocket(connection, connection.head())
    connection.receive_slowly(pause=0.02, step=40_000, times=130)
    while (answer := websocket.read()).opcode == PING:
        websocket.send(PONG)
    assert len(answer.payload) == 8 * MEGABYTE
    websocket.send(CLOSE, close_payload(1000))
    assert site.recorded("1000") == ["all sent", "1000"]


def test_an_application_that_closes_behind_much_is_heard_by_a_slow_client(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi()
    connection = site.connect(receive_buffer=8192)
    connection.send(handshake(site.target("ws_closing_behind_much")))
    websocket = WebSocket(connection, connection.head())
    for _ in range(24):
        websocket.send(BINARY, b"still there")
        connection.receive_slowly(pause=0.05, step=25_000, times=10)
    assert len(websocket.read().payload) == 8 * MEGABYTE
    assert websocket.read_close() == (4001, "why")


def test_an_application_that_waits_for_room_hears_of_the_clients_end(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_sending", size=64 * 1024, count=1000)
    wait_until(lambda: asgi_site.json("produced") > 0, "the first message")
    websocket.connection.reset()
    assert asgi_site.recorded("ClientDisconnected") == ["ClientDisconnected"]


def test_an_application_that_receives_nothing_holds_the_client_back(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_lazy")
    messages = frame(BINARY, b"x" * 64 * 1024) * 400 + frame(TEXT, b"last")
    websocket.connection.send_in_background(messages)
    with pytest.raises(AssertionError, match="in vain"):
        wait_until(lambda: not websocket.connection.is_sending(), "all of it was read", 1)
    asgi_site.open_gate()
    assert websocket.read() == Frame(TEXT, b"401")
    websocket.send(CLOSE)
    assert asgi_site.recorded("1005") == ["1005"]


# --- Compression ----------------------------------------------------------------------------------------------------


def _inflate(inflater: zlib._Decompress, payload: bytes) -> bytes:
    return inflater.decompress(payload + b"\0\0\xff\xff")


def test_messages_are_compressed_where_the_client_offers_it(asgi_site: Site) -> None:
    offer = ("Sec-WebSocket-Extensions", "x-unknown, permessage-deflate; client_max_window_bits")
    websocket = _open(asgi_site, "ws_echo", offer)
    agreed = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    assert websocket.response.header("sec-websocket-extensions") == agreed
    deflate, inflate = zlib.compressobj(wbits=-12), zlib.decompressobj(wbits=-12)
    sizes = []
    for _ in range(3):
        text = b"the same again and again and again; " * 20
        data = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
        websocket.send(TEXT, data[:3], rsv=4, fin=False)
        websocket.send(PING, b"between")
        websocket.send(CONTINUATION, data[3:-4])
        assert websocket.read() == Frame(PONG, b"between")
        answer = websocket.read()
        assert answer.compressed and _inflate(inflate, answer.payload) == text
        sizes.append(len(answer.payload))
    assert sizes[1] < sizes[0] < 100, "the window is kept"
    websocket.send(TEXT, b"plain")
    assert websocket.read() == Frame(TEXT, b"plain"), "small messages stay as they are"


def test_a_client_may_ask_for_no_memory(asgi_site: Site) -> None:
    offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    websocket = _open(asgi_site, "ws_echo", ("Sec-WebSocket-Extensions", offer))
    for _ in range(2):
        websocket.send(BINARY, b"z" * 1000)
        answer = websocket.read()
        assert answer.compressed and _inflate(zlib.decompressobj(wbits=-15), answer.payload) == b"z" * 1000


def test_compression_can_be_turned_off(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--no-ws-deflate")
    websocket = _open(site, "ws_echo", ("Sec-WebSocket-Extensions", "permessage-deflate"))
    assert websocket.response.header("sec-websocket-extensions") is None
    websocket.send(TEXT, rsv=4)
    assert websocket.read_close()[0] == 1002


def test_text_is_checked_after_inflating(asgi_site: Site) -> None:
    websocket = _open(asgi_site, "ws_echo", ("Sec-WebSocket-Extensions", "permessage-deflate"))
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(b"\xff\xff") + deflate.flush(zlib.Z_SYNC_FLUSH)
    websocket.send(TEXT, data[:-4], rsv=4)
    assert websocket.read_close()[0] == 1007


# --- Time -----------------------------------------------------------------------------------------------------------


def test_clients_are_pinged_and_who_does_not_answer_is_closed(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--ws-ping-interval=0.2", "--ws-ping-timeout=0.6")
    answering, silent = _open(site), _open(site, "ws_until_told")
    begin = time.monotonic()
    pings = 0
    while time.monotonic() - begin < 1.5:
        opcode, payload, *_ = answering.read()
        assert opcode == PING
        answering.send(PONG, payload)
        pings += 1
    assert pings >= 4
    assert silent.read().opcode == PING
    assert silent.read_close() == (1011, "no answer to a ping")
    assert silent.wait_closed() == b""
    assert "1011 no answer to a ping" in site.recorded("1011 no answer to a ping")
    answering.send(TEXT, b"alive")
    while (answer := answering.read()).opcode == PING:
        answering.send(PONG, answer.payload)
    assert answer == Frame(TEXT, b"alive")


def test_who_is_not_read_need_not_answer(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--ws-ping-interval=0.2", "--ws-ping-timeout=0.2", "--ws-max-queue=1")
    websocket = _open(site, "ws_lazy")
    for _ in range(3):
        websocket.send(TEXT, b"unread")
    time.sleep(1.5)
    site.open_gate()
    websocket.send(TEXT, b"last")
    while (answer := websocket.read()).opcode == PING:
        websocket.send(PONG)
    assert answer == Frame(TEXT, b"4")


def test_no_pings_where_none_are_wanted(serve_asgi: ServeAsgi) -> None:
    site = serve_asgi("--ws-ping-interval=0")
    websocket = _open(site)
    time.sleep(1)
    websocket.send(TEXT, b"first")
    assert websocket.read() == Frame(TEXT, b"first")


def test_a_blocked_loop_answers_pings(asgi_site: Site) -> None:
    websocket = _open(asgi_site)
    blocked = asgi_site.connect()
    blocked.send(get(asgi_site.target("blocking", seconds=1)))
    asgi_site_events = blocked.head()
    assert asgi_site_events.status == 200
    begin = time.monotonic()
    for number in range(5):
        websocket.send(PING, b"%d" % number)
        assert websocket.read() == Frame(PONG, b"%d" % number)
    assert time.monotonic() - begin < 0.8


def test_the_target_for_load_tests_echoes_and_broadcasts(serve_target: Site) -> None:
    echo = WebSocket.open(serve_target, "/ws")
    echo.send(BINARY, b"bytes")
    echo.send(TEXT, b"text")
    assert [echo.read(), echo.read()] == [Frame(BINARY, b"bytes"), Frame(TEXT, b"text")]
    everybody = [WebSocket.open(serve_target, "/ws/all") for _ in range(3)]
    everybody[0].connection.close()
    everybody[1].send(TEXT, b"hello, all")
    assert [websocket.read() for websocket in everybody[1:]] == [Frame(TEXT, b"hello, all")] * 2
    connection = serve_target.connect()
    connection.send(handshake("/nowhere"))
    assert connection.response().status == 403


@pytest.fixture
def serve_target() -> Iterator[Site]:
    with ServerProcess.start("ironbridge.target:asgi") as server:
        site = Site(server)
        yield site
        site.close()


# --- The end of the server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_at_the_end_of_the_server_clients_are_told_and_applications_too(serve_asgi: ServeAsgi, loop: str) -> None:
    site = serve_asgi(f"--loop={loop}", code=ENDING)
    websocket = WebSocket.open(site, "/")
    other = WebSocket.open(site, "/")
    sending = WebSocket.open(site, "/send")
    sending.read()
    site.server.signal(signal.SIGTERM)
    assert websocket.read_close() == (1012, "the server restarts")
    websocket.send(CLOSE, close_payload(1012))
    assert websocket.wait_closed() == b""
    assert other.read_close() == (1012, "the server restarts")
    last = 0
    while (answer := sending.read()).opcode == BINARY:
        assert int.from_bytes(answer.payload[:4], "big") == last + 1
        last += 1
    assert answer.opcode == CLOSE
    sending.connection.close()
    # One whose sender was waiting has gone as well, or has not.
    sent = int(site.server.wait_output(r"sent (\d+)")[1])
    assert last in (sent, sent - 1)
    other.connection.close()
    site.server.wait_output("shut down")
    assert site.server.output().count("disconnected with 1012") == 2
    assert site.server.output().endswith("shut down\n")
    assert site.server.wait() == 0


ENDING = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/send":
        count = 0
        try:
            while True:
                await send({"type": "websocket.send", "bytes": count.to_bytes(4, "big") + bytes(20_000)})
                count += 1
        except OSError:
            print("sent", count, flush=True)
        return
    event = await receive()
    print("disconnected with", event["code"], flush=True)
"""
