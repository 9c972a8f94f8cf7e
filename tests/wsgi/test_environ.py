"""environ (PEP 3333 "environ Variables"), made from the request as it came."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve
from raw_client import Connection, get, post, request
from wsgi_site import Site, body_json

uses = pytest.mark.uses


def _environ(site: Site, data: bytes) -> dict[str, Any]:
    found = body_json(site.fetch(data))
    assert found["type"] == "dict"
    environ: dict[str, Any] = found["environ"]
    return environ


def test_one_thread_is_not_called_several(serve: Serve) -> None:
    assert _environ(serve("--threads=1"), get("/environ_dump"))["wsgi.multithread"] == ["bool", "False"]


@uses("environ_dump")
def test_everything_that_pep_3333_demands_is_there_with_its_type(site: Site) -> None:
    environ = _environ(site, get("/environ_dump?a=b"))
    assert environ["wsgi.version"] == ["tuple", "(1, 0)"]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] == ["bool", "True"]
    assert environ["wsgi.multiprocess"] == ["bool", "False"]
    assert environ["wsgi.run_once"] == ["bool", "False"]
    assert environ["wsgi.input_terminated"] == ["bool", "True"]
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.early_hints"} <= environ.keys()
    assert environ["REQUEST_METHOD"] == "GET"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/environ_dump", "a=b")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"] == str(site.server.port)
    assert environ["HTTP_HOST"] == "test.example"
    for name, value in environ.items():
        assert isinstance(value, str) or "." in name, f"{name} is no string: {value}"


@uses("environ_dump")
def test_the_client_s_address_and_port_are_told(site: Site) -> None:
    connection = site.connect()
    connection.send(get("/environ_dump"))
    environ = body_json(connection.response())["environ"]
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", str(connection.port))


@uses("environ_mutated")
def test_every_request_has_an_environ_of_its_own(site: Site) -> None:
    connection = site.connect()
    for _ in range(5):
        connection.send(get(site.target()))
        found = body_json(connection.response())
        assert found == {
            "LEFT_BEHIND": None, "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": [1, 0]
        }  # fmt: skip


AGAIN: list[bytes] = [
    get("/environ_dump?a=b"),
    get("/environ_dump?a=b"),
    get("/environ_dump?a=b"),
    get("/environ_dump/other"),
    request("DELETE", "/environ_dump/other"),
    get("/environ_dump?c=%20"),
    request("GET", "http://elsewhere.example/environ_dump"),
    get("/environ_dump", ("X-More", "1")),
    get("/environ_dump", ("X-More", "2")),
    post("/environ_dump", b"first"),
    post("/environ_dump", b"other"),
    post("/environ_dump", b"third"),
    get("/environ_dump"),
    get("/environ_dump", ("Connection", "keep-alive")),
    get("/environ_dump", ("Connection", "keep-alive")),
    request("GET", "/environ_dump", ("Connection", "keep-alive"), version="HTTP/1.0"),
]
"""Requests of one connection whose header lines are partly those of the one before."""


@uses("environ_dump")
def test_header_lines_that_come_again_make_the_environ_that_they_made_before(site: Site) -> None:
    connection = site.connect()
    for data in AGAIN:
        connection.send(data)
        environ = body_json(connection.response())["environ"]
        assert _comparable(environ) == _comparable(_environ(site, data)), data


def _comparable(environ: dict[str, Any]) -> dict[str, Any]:
    """What two requests can have in common: another connection has another port, other objects have other addresses."""
    return {name: value for name, value in environ.items() if name != "REMOTE_PORT" and " at 0x" not in str(value)}


@uses("environ_dump")
def test_nothing_of_the_process_s_environment_is_in_it(site: Site) -> None:
    environ = _environ(site, get("/environ_dump"))
    assert not {"CONFORMANCE_SECRET", "PATH", "HOME", "PWD", "LANG", "USER"} & environ.keys()


@uses("environ_dump")
def test_the_protocol_is_the_request_s(site: Site) -> None:
    environ = _environ(site, request("GET", "/environ_dump", version="HTTP/1.0", host=None))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "lower", "X-ODD.METHOD", "M"]
)
@uses("environ_dump")
def test_methods_are_passed_unchanged(site: Site, method: str) -> None:
    assert _environ(site, request(method, "/environ_dump"))["REQUEST_METHOD"] == method


TARGETS: list[tuple[bytes, str, str]] = [
    (b"/environ_dump", "/environ_dump", ""),
    (b"/environ_dump?", "/environ_dump", ""),
    (b"/environ_dump?a=%20b+c&d=%2F", "/environ_dump", "a=%20b+c&d=%2F"),
    (b"/environ_dump?a?b/c", "/environ_dump", "a?b/c"),
    (b"/environ_dump/a%2Fb%2fc", "/environ_dump/a/b/c", ""),
    (b"/environ_dump/%20%25%3F%23", "/environ_dump/ %?#", ""),
    (b"/environ_dump/%C3%A9", "/environ_dump/\xc3\xa9", ""),
    (b"/environ_dump/%e9%FF%80", "/environ_dump/\xe9\xff\x80", ""),
    (b"/environ_dump/%252F", "/environ_dump/%2F", ""),
    (b"/%65nviron_dump", "/environ_dump", ""),
    (b"/environ_dump/a+b;c=d,e", "/environ_dump/a+b;c=d,e", ""),
    (b"/environ_dump//x///y", "/environ_dump//x///y", ""),
    (b"//x", "//x", ""),
    (b"//environ_dump/x", "//environ_dump/x", ""),
    (b"/environ_dump/../a/./b", "/environ_dump/../a/./b", ""),
    (b"/environ_dump/caf\xc3\xa9", "/environ_dump/caf\xc3\xa9", ""),
    (b"/environ_dump/caf\xe9", "/environ_dump/caf\xe9", ""),
    (b"/environ_dump?q=caf\xe9", "/environ_dump", "q=caf\xe9"),
    (b'/environ_dump?a="<b>"', "/environ_dump", 'a="<b>"'),
    (b"/environ_dump/<b>`", "/environ_dump/<b>`", ""),
    (b"/environ_dump?{a}|^[b]\\", "/environ_dump", "{a}|^[b]\\"),
    (b"/environ_dump#fragment", "/environ_dump", ""),
    (b"/environ_dump?a=b#fragment?c", "/environ_dump", "a=b"),
    (b"/", "/", ""),
    (b"/?a", "/", "a"),
    (b"http://other.example/environ_dump?x=1", "/environ_dump", "x=1"),
    (b"HTTP://other.example:8080/environ_dump/%2F", "/environ_dump//", ""),
]


@pytest.mark.parametrize(
    ("target", "path_info", "query"), TARGETS, ids=[repr(target)[2:-1] for target, _, _ in TARGETS]
)
@uses("environ_dump")
def test_targets_are_decoded_once_and_told_raw(site: Site, target: bytes, path_info: str, query: str) -> None:
    environ = _environ(site, get(target))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path_info, query)
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target.decode("latin-1")


@pytest.mark.parametrize("authority", ["other.example", "other.example:8080", "[::1]:80"])
@uses("environ_dump")
def test_the_authority_of_an_absolute_target_overrides_host(site: Site, authority: str) -> None:
    assert _environ(site, get(f"http://{authority}/environ_dump"))["HTTP_HOST"] == authority


@uses("environ_dump")
def test_an_absolute_target_without_a_path_is_the_root(site: Site) -> None:
    environ = _environ(site, get("http://other.example?x=1"))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/", "x=1")


@uses("environ_dump", plain_only="the validator demands a slash at the start of PATH_INFO")
def test_options_asterisk_reaches_the_application(site: Site) -> None:
    environ = _environ(site, request("OPTIONS", "*"))
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("OPTIONS", "*", "*")


@uses("environ_dump")
def test_an_encoded_nul_in_the_path_is_refused(site: Site) -> None:
    assert site.fetch(get("/environ_dump/%00")).status == 400


@uses("environ_dump")
def test_headers_become_variables(site: Site) -> None:
    headers = [
        ("X-One", "1"), ("x-lower-CASE", "kept As It Is"), ("X-Empty", ""), ("X-Spaces", " \t in  between \t "),
        ("X-Latin", "caf\xe9 \xff"), ("X-9", "9"), ("User-Agent", "test"), ("Accept", "*/*"),
    ]  # fmt: skip
    environ = _environ(site, get("/environ_dump", *headers))
    for name, value in headers:
        assert environ["HTTP_" + name.upper().replace("-", "_")] == value.strip(" \t"), name


@uses("environ_dump")
def test_content_headers_have_variables_of_their_own(site: Site) -> None:
    environ = _environ(site, post("/environ_dump", b"12345", ("Content-Type", "text/x; charset=y")))
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x; charset=y", "5")
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


@uses("environ_dump")
def test_absent_content_headers_are_absent_or_empty(site: Site) -> None:
    environ = _environ(site, get("/environ_dump"))
    assert environ.get("CONTENT_TYPE", "") == ""
    assert environ.get("CONTENT_LENGTH", "") in ("", "0")


@uses("environ_dump")
def test_repeated_headers_are_joined_with_commas(site: Site) -> None:
    headers = [("X-Many", "a"), ("Accept", "text/html"), ("x-many", "b, c"), ("X-MANY", ""), ("Accept", "*/*")]
    environ = _environ(site, get("/environ_dump", *headers))
    assert environ["HTTP_X_MANY"] in ("a, b, c, ", "a, b, c,")
    assert environ["HTTP_ACCEPT"] == "text/html, */*"


@pytest.mark.parametrize(("value", "joined"), [("a", "a, a"), ("", ", ")])
@uses("environ_dump")
def test_repeated_headers_of_one_character_are_joined_too(site: Site, value: str, joined: str) -> None:
    environ = _environ(site, get("/environ_dump", ("X-Many", value), ("X-Many", value)))
    assert environ["HTTP_X_MANY"] == joined


@uses("environ_dump")
def test_repeated_cookie_headers_are_joined_with_semicolons(site: Site) -> None:
    environ = _environ(site, get("/environ_dump", ("Cookie", "a=1"), ("Cookie", "b=2; c=3"), ("cookie", "d=4")))
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3; d=4"


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Content_Length", "X-Mixed_Name", "Remote_User", "_", "Host_"])
@uses("environ_dump")
def test_headers_with_underscores_are_dropped(site: Site, name: str) -> None:
    environ = _environ(site, get("/environ_dump", (name, "evil"), ("X-Other", "good")))
    assert "evil" not in environ.values()
    assert environ["HTTP_X_OTHER"] == "good"


@uses("environ_dump")
def test_an_underscored_header_does_not_join_its_dashed_sister(site: Site) -> None:
    environ = _environ(site, get("/environ_dump", ("X-User", "good"), ("X_User", "evil")))
    assert environ["HTTP_X_USER"] == "good"


@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY"])
@uses("environ_dump")
def test_the_proxy_header_is_dropped(site: Site, name: str) -> None:
    assert "HTTP_PROXY" not in _environ(site, get("/environ_dump", (name, "http://evil.example")))


@uses("environ_dump")
def test_a_hundred_headers_are_all_there(site: Site) -> None:
    environ = _environ(site, get("/environ_dump", *((f"X-Number-{number}", str(number)) for number in range(99))))
    assert [environ[f"HTTP_X_NUMBER_{number}"] for number in range(99)] == [str(number) for number in range(99)]


@uses("errors_stream")
def test_what_is_written_to_wsgi_errors_is_logged(site: Site) -> None:
    assert site.get().status == 200
    site.server.wait_log(f"written {site.key} \xe4\u20ac")
    site.server.wait_log(f"first line {site.key}$")
    site.server.wait_log(f"second line {site.key}$")


@uses("errors_without_end")
def test_a_line_of_wsgi_errors_ends_with_its_request(site: Site) -> None:
    assert site.get().status == 200
    site.server.wait_log(f"unended {site.key}$")


@uses("gated_close")
def test_a_request_that_works_on_does_not_end_the_input_of_the_next_one(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target()))
    assert connection.response().body == b"x"
    reader = f"{site.key}-reader"
    connection.send(get(site.target("gated_read", key=reader)))
    assert "started" in site.recorded("started", key=reader)
    site.open_gate()
    assert "closed" in site.recorded("closed")
    site.assert_alive()
    assert site.get("open_gate", key=reader).status == 200
    assert connection.response().body == b"read:"


@uses("early_hints")
def test_early_hints_are_on_the_wire_before_the_application_answers(site: Site) -> None:
    connection = site.connect()
    connection.send(get(site.target()))
    first, second = connection.head(), connection.head()
    assert [first.status, second.status] == [103, 103]
    assert first.all("Link") == ["</style.css>; rel=preload", "</app.js>; rel=preload"]
    assert second.all("Link") == ["</font.woff2>; rel=preload"]
    site.open_gate()
    response = connection.response()
    assert (response.status, response.body, response.all("Link")) == (200, b"with hints", [])


@uses("early_hints")
def test_early_hints_belong_to_their_request_whichever_thread_answers(site: Site) -> None:
    def ask(_: int) -> list[list[int]]:
        with site.connect() as connection:
            statuses = []
            for _ in range(50):
                connection.send(get("/early_hints"))
                heads = [connection.head()]
                while heads[-1].status == 103:
                    heads.append(connection.head())
                connection.read_body(heads[-1])
                statuses.append([head.status for head in heads])
            assert connection.is_open()
            return statuses

    with ThreadPoolExecutor(8) as pool:
        for statuses in pool.map(ask, range(8)):
            assert statuses == [[103, 103, 200]] * 50


@uses("early_hints")
def test_early_hints_are_not_sent_to_http_1_0(site: Site) -> None:
    site.open_gate()
    response = site.fetch(request("GET", site.target(), version="HTTP/1.0"))
    assert (response.status, response.interim) == (200, [])


@uses("late_early_hints")
def test_early_hints_after_the_head_are_not_sent(site: Site) -> None:
    response = site.get()
    assert (response.status, response.body, response.complete) == (200, b"first second", True)


@uses("injecting_early_hints")
def test_early_hints_with_line_breaks_are_an_error(site: Site) -> None:
    response = site.get()
    assert (response.status, response.header("Injected")) == (500, None)
    assert all(interim.header("Injected") is None for interim in response.interim)


@pytest.fixture(scope="module")
def shop(serve_module: Serve) -> Iterator[Site]:
    """A server whose application is mounted at /shop."""
    yield serve_module("--root-path=/shop")


@pytest.mark.parametrize(
    ("target", "path_info"),
    [("/shop/environ_dump?a=b", "/environ_dump"), ("/shop/", "/"), ("/shop", ""), ("/shop?x", ""), ("/shop//x", "//x")],
)
def test_root_path_moves_from_path_info_to_script_name(shop: Site, target: str, path_info: str) -> None:
    environ = _environ(shop, get(target))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", path_info)
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


@pytest.mark.parametrize("target", ["/", "/shopping", "/other/shop", "/Shop/x", "/sho", "//shop/x"])
def test_requests_outside_the_root_path_get_404(shop: Site, target: str) -> None:
    response = shop.fetch(get(target))
    assert (response.status, response.complete) == (404, True)


def test_on_a_unix_socket_the_client_has_no_address_and_the_server_that_of_host(serve: Serve) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "http.sock")
        site = serve(f"--bind=unix:{path}")
        with Connection(path) as connection:
            connection.send(get("/environ_dump"))
            environ = body_json(connection.response())["environ"]
        assert environ["REMOTE_ADDR"] == ""
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("test.example", "80")
        assert _environ(site, request("GET", "/environ_dump", host="named.example:8080"))["SERVER_PORT"] == "8080"
        assert _environ(site, request("GET", "/environ_dump", version="HTTP/1.0", host=None))["SERVER_NAME"]


def test_on_ipv6_the_client_s_address_has_no_brackets(serve: Serve) -> None:
    if not socket.has_ipv6 or not _has_ipv6_loopback():
        pytest.skip("this machine has no IPv6 loopback address")
    environ = _environ(serve("--bind=[::1]:0"), get("/environ_dump"))
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"]) == ("::1", "::1")


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True
