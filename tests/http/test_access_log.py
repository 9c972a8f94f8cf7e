"""The access log: a line for each request, errors of the server's own included."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Serve
from raw_client import get, post, request
from serving import run
from wsgi_site import APPS_FOLDER, NamedPipe, Site, wait_until

COMMON = r'127\.0\.0\.1 - (?P<user>\S+) \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(?P<request>.*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
COMBINED = COMMON + r' "(?P<referer>.*)" "(?P<agent>.*)"'
GUNICORNS = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
"""What Gunicorn logs by default."""
Read = Callable[[int], list[str]]


def _reader(path: Path) -> Read:
    def read(count: int) -> list[str]:
        """The lines, as soon as there are `count` of them."""
        wait_until(
            lambda: path.exists() and path.read_bytes().count(b"\n") >= count, f"{count} lines in the access log"
        )
        lines = path.read_text(encoding="ascii").splitlines()
        assert len(lines) == count, lines
        return lines

    return read


def _serve(serve: Serve, path: Path, form: str, *options: str) -> tuple[Site, Read]:
    return serve(f"--access-log={path}", f"--access-log-format={form}", *options), _reader(path)


@pytest.mark.parametrize(("form", "pattern"), [("common", COMMON), ("combined", COMBINED), (GUNICORNS, COMBINED)])
def test_lines_have_the_format_asked_for(serve: Serve, tmp_path: Path, form: str, pattern: str) -> None:
    site, read = _serve(serve, tmp_path / "log", form)
    headers = [
        ("Referer", "http://from.example/?a"),
        ("User-Agent", "Test/1.0 (x)"),
        ("Authorization", "Basic YW5uOnNlY3JldA=="),
    ]
    site.fetch(get("/one_item_list?a=%20b", *headers))
    site.fetch(get("/empty_list"))
    first, second = (_match(pattern, line) for line in read(2))
    assert (first["user"], first["request"]) == ("ann", "GET /one_item_list?a=%20b HTTP/1.1")
    assert (first["status"], first["bytes"]) == ("200", "8")
    assert (second["user"], second["status"], second["bytes"]) == ("-", "200", "-")
    if form != "common":
        assert (first["referer"], first["agent"]) == ("http://from.example/?a", "Test/1.0 (x)")
        assert (second["referer"], second["agent"]) == ("-", "-")


def test_json_lines_have_all_keys(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "json")
    site.fetch(post("/input_echo?step=100", b"12345", ("User-Agent", 'quo"te\\\xe4')))
    (line,) = (json.loads(line) for line in read(1))
    assert (line["method"], line["target"], line["protocol"]) == ("POST", "/input_echo?step=100", "HTTP/1.1")
    assert (line["status"], line["bytes"], line["peer"]) == (200, 5, "127.0.0.1")
    assert line["user_agent"].startswith('quo"te\\')
    assert (line["referer"], line["user"], line["outcome"]) == (None, None, "complete")
    assert 0 <= line["duration"] < 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}([+-]\d\d:\d\d|Z)", line["time"])


ATOMS = [
    ("%(m)s %(U)s %(q)s %(H)s", "GET /one_item_list/%C3%A9 a=%20b HTTP/1.1"),
    ("%(s)s %(B)s %(b)s", "200 8 8"),
    ("[%(s)5s|%(s)-5d]", "[  200|200  ]"),
    ("%({x-REQUEST-id}i)s %({X-Nothing}i)s", "r7 -"),
    ("%({content-TYPE}o)s %({X-Nothing}o)s", "text/plain; charset=latin-1 -"),
    ("%({REQUEST_METHOD}e)s %({PATH_INFO}e)s %({QUERY_STRING}e)s", "GET /one_item_list/%C3%A9 a=%20b"),
    ("%({RAW_URI}e)s", "/one_item_list/%C3%A9?a=%20b"),
    ("%({HTTP_X_REQUEST_ID}e)s %({SERVER_PROTOCOL}e)s %({REMOTE_ADDR}e)s", "r7 HTTP/1.1 127.0.0.1"),
    ("%({CONTENT_TYPE}e)s %({wsgi.version}e)s %(unknown)s", "- - -"),
    ("100%% %(l)s", "100% -"),
]


def test_a_format_of_ones_own_shows_what_is_known_of_a_request(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", " ~ ".join(atom for atom, _ in ATOMS))
    site.fetch(get("/one_item_list/%C3%A9?a=%20b", ("X-Request-Id", "r7")))
    assert read(1)[0].split(" ~ ") == [expected for _, expected in ATOMS]


def test_a_format_of_ones_own_shows_times_and_the_process(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "%(t)s %(T)s %(M)s %(D)s %(L)s %(p)s")
    site.fetch(get("/hello"))
    line = _match(
        r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] (?P<s>\d+) (?P<ms>\d+) (?P<us>\d+) (?P<decimal>\d+\.\d{6}) <\d+>",
        read(1)[0],
    )
    micros = int(line["us"])
    assert 0 < micros < 60_000_000
    assert (int(line["s"]), int(line["ms"])) == (micros // 1_000_000, micros // 1000)
    assert line["decimal"] == f"{micros // 1_000_000}.{micros % 1_000_000:06}"


def test_a_format_of_ones_own_has_dashes_where_no_request_could_be_read(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "%(h)s %(m)s %(U)s %(s)s %({Host}i)s %({X-Nothing}o)s")
    assert site.fetch(b"nonsense\r\n\r\n").status == 400
    assert read(1) == ["127.0.0.1 - - 400 - -"]


def test_requests_of_one_connection_show_their_own_headers(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "%({X-Request-Id}i)s %({Content-Type}o)s %({X-New}o)s")
    connection = site.connect()
    connection.send(get("/hello", ("X-Request-Id", "1")) + get("/hello") + get("/hello", ("X-Request-Id", "3")))
    for _ in range(3):
        assert connection.response().status == 200
    kind = "text/plain; charset=latin-1"
    assert read(3) == [f"1 {kind} -", f"- {kind} -", f"3 {kind} -"]


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("clf", "common, combined, json"),
        ("%h %s", "%("),
        ("%(h)s %(s)x", "character 7"),
        ("%(h)s 100%", "character 10"),
        ("%(D)05d", "character 1"),
    ],
)
def test_a_format_that_makes_no_sense_is_one_line_and_exit_code_2(form: str, named: str) -> None:
    result = run(f"--access-log-format={form}", "--bind=127.0.0.1:0", "apps:application", cwd=APPS_FOLDER)
    assert result.returncode == 2
    (line,) = (line for line in result.stderr.splitlines() if "access-log-format" in line)
    assert named in line


def test_combined_is_the_default_and_a_dash_the_standard_output(serve: Serve) -> None:
    site = serve("--access-log=-")
    site.fetch(get("/hello", ("User-Agent", "Test/1.0")))
    line = site.server.wait_output(r"^.*Test/1\.0.*$").group()
    assert _match(COMBINED, line)["request"] == "GET /hello HTTP/1.1"


@pytest.mark.parametrize("form", ["combined", GUNICORNS])
def test_what_clients_send_cannot_forge_lines_or_fields(serve: Serve, tmp_path: Path, form: str) -> None:
    site, read = _serve(serve, tmp_path / "log", form)
    site.fetch(get('/hello?"<\xe9>\\', ("User-Agent", 'x" 200 "y\t\x80\\'), ("Referer", '"')))
    site.fetch(get("/hello/%0d%0aforged"))
    first, second = read(2)
    assert second.count("forged") == 1
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', first)
    assert len(quoted) == 3, first


def test_a_user_name_cannot_move_fields(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", GUNICORNS)
    credentials = base64.b64encode(b'a "b\r\n:secret').decode()
    site.fetch(get("/hello", ("Authorization", f"Basic {credentials}")))
    assert _match(COMBINED, read(1)[0])["user"] == r"a\x20\x22b\x0d\x0a"


ERRORS = [
    (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 405),
    (get("/" + "x" * 9000), 414),
    (get("/hello", ("X", "x" * 70_000)), 431),
    (request("POST", "/hello", ("Transfer-Encoding", "gzip")), 501),
    (b"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (request("POST", "/hello", ("Content-Length", "2000")), 413),
    (get("/raising?key=x&error=RuntimeError"), 500),
    (get("/healthz"), 200),
]


def test_every_answer_is_logged_with_the_bytes_of_its_body(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "common", "--limit-request-body=1000", "--health-path=/healthz")
    for place, (raw, status) in enumerate(ERRORS, 1):
        response = site.fetch(raw)
        assert response.status == status
        line = _match(COMMON, read(place)[-1])
        assert (line["status"], line["bytes"]) == (str(status), str(len(response.body) or "-"))


def test_a_head_that_is_late_is_logged(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "common", "--header-timeout=1")
    assert site.fetch(b"GET /late HT").status == 408
    assert _match(COMMON, read(1)[0])["status"] == "408"


def test_a_refusal_of_the_queue_is_logged(serve: Serve, tmp_path: Path, pipe: NamedPipe) -> None:
    site, read = _serve(serve, tmp_path / "log", "common", "--threads=1", "--queue-timeout=0.5")
    running = site.connect()
    running.send(get(site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    assert site.fetch(get("/refused")).status == 503
    assert _match(COMMON, read(1)[0])["request"] == "GET /refused HTTP/1.1"
    pipe.release(b"x")
    assert running.response().status == 200
    assert _match(COMMON, read(2)[1])["status"] == "200"


def test_a_client_that_leaves_before_the_answer_is_logged_as_499(serve: Serve, tmp_path: Path, pipe: NamedPipe) -> None:
    site, read = _serve(serve, tmp_path / "log", "json")
    leaving = site.connect()
    leaving.send(get(site.target("blocked_on_file", path=pipe.path)))
    pipe.wait_for_reader()
    leaving.reset()
    line = json.loads(read(1)[0])
    assert (line["status"], line["outcome"]) == (499, "aborted")
    pipe.release()


def test_an_aborted_response_is_logged_as_such(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "json")
    assert not site.fetch(get("/raising_in_iteration?key=x&error=RuntimeError&at=2")).complete
    line = json.loads(read(1)[0])
    assert (line["status"], line["outcome"]) == (200, "aborted")


def test_pipelined_and_head_requests_have_a_line_each(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "common")
    connection = site.connect()
    connection.send(get("/hello?1") + request("HEAD", "/hello?2") + get("/hello?3"))
    connection.response()
    connection.response("HEAD")
    connection.response()
    lines = [_match(COMMON, line) for line in read(3)]
    assert [line["request"] for line in lines] == [
        "GET /hello?1 HTTP/1.1", "HEAD /hello?2 HTTP/1.1", "GET /hello?3 HTTP/1.1"
    ]  # fmt: skip
    assert [line["bytes"] for line in lines] == ["5", "-", "5"]


def test_all_lines_are_written_before_the_server_ends(serve: Serve, tmp_path: Path) -> None:
    site, read = _serve(serve, tmp_path / "log", "common")
    for _ in range(50):
        site.fetch(get("/hello"))
    site.server.stop()
    assert len(read(50)) == 50


def test_a_log_that_cannot_be_opened_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    result = run(
        f"--access-log={tmp_path}/no/such/folder/log", "--bind=127.0.0.1:0", "apps:application", cwd=APPS_FOLDER
    )
    assert result.returncode == 2
    assert len([line for line in result.stderr.splitlines() if "access-log" in line]) == 1


def _match(pattern: str, line: str) -> dict[str, str]:
    match = re.fullmatch(pattern, line)
    assert match, line
    return match.groupdict()
