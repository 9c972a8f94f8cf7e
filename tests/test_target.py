"""The load-testing target keeps PEP 3333 and answers as documented, in the process and over a socket."""

from __future__ import annotations

import io
import json
import time
from http.client import HTTPConnection
from typing import Any
from wsgiref.validate import validator

import pytest
from serving import ServerProcess

from ironbridge.target import wsgi

Answer = tuple[str, list[tuple[str, str]], list[bytes]]


def call(path: str, *, body: bytes = b"", **extra: Any) -> Answer:
    """Calls the target behind wsgiref's validator and takes its response apart."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **extra,
    }
    if body and "wsgi.input_terminated" not in extra:
        environ["CONTENT_LENGTH"] = str(len(body))
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        started.append((status, headers))
        return lambda data: None

    chunks = validator(wsgi)(environ, start_response)
    try:
        received = list(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    ((status, headers),) = started
    return status, headers, received


def fields(answer: Answer) -> dict[str, str]:
    """The header fields of an answer."""
    return dict(answer[1])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/plaintext",
        "/json",
        "/bytes/0",
        "/bytes/1",
        "/bytes/1048576",
        "/headers/0",
        "/headers/1000",
        "/status/404",
        "/sleep/0",
        "/cpu/0.5",
        "/echo",
        "/nowhere",
    ],
)
def test_the_content_length_is_that_of_the_body(path: str) -> None:
    answer = call(path)
    assert int(fields(answer)["Content-Length"]) == len(b"".join(answer[2]))


def test_plaintext_says_hello() -> None:
    status, headers, body = call("/plaintext")
    assert (status, body) == ("200 OK", [b"Hello, world!"])
    assert dict(headers)["Content-Type"].startswith("text/plain")


def test_json_is_json() -> None:
    answer = call("/json")
    assert json.loads(b"".join(answer[2])) == {"message": "Hello, world!"}
    assert fields(answer)["Content-Type"] == "application/json"


def test_large_bytes_come_in_pieces_and_each_byte_tells_its_place() -> None:
    size = (1 << 23) + 12345
    status, headers, chunks = call(f"/bytes/{size}")
    body = b"".join(chunks)
    assert status == "200 OK"
    assert len(chunks) > 1
    assert len(body) == size == int(dict(headers)["Content-Length"])
    assert all(body[at] == body[at % 64] for at in range(0, size, 997))


def test_stream_makes_its_chunks_one_by_one_and_names_no_length() -> None:
    answer = call("/stream/5")
    assert [len(chunk) for chunk in answer[2]] == [1024] * 5
    assert "Content-Length" not in fields(answer)


def test_sleep_takes_wall_time_and_hardly_any_cpu_time() -> None:
    wall, cpu = time.perf_counter(), time.thread_time()
    call("/sleep/50")
    assert time.perf_counter() - wall >= 0.05
    assert time.thread_time() - cpu < 0.04


def test_cpu_takes_cpu_time() -> None:
    cpu = time.thread_time()
    call("/cpu/20")
    assert 0.02 <= time.thread_time() - cpu < 0.1


def test_echo_gives_the_body_and_its_type_back() -> None:
    answer = call("/echo", body=b"{}" * 999, CONTENT_TYPE="application/json")
    assert answer[2] == [b"{}" * 999]
    assert fields(answer)["Content-Type"] == "application/json"


def test_echo_reads_a_body_without_a_length_only_where_the_server_marks_its_end() -> None:
    terminated: dict[str, Any] = {"wsgi.input_terminated": True}
    assert call("/echo", body=b"abc", **terminated)[2] == [b"abc"]
    unmarked: dict[str, Any] = {"wsgi.input_terminated": False}
    assert call("/echo", body=b"abc", **unmarked)[2] == [b""]


def test_headers_gives_so_many_beside_type_and_length() -> None:
    status, headers, body = call("/headers/10")
    assert len(headers) == 12
    assert [len(chunk) for chunk in body] == [1024]


def test_each_response_has_a_header_list_of_its_own() -> None:
    for path in ("/plaintext", "/json", "/headers/3", "/bytes/3", "/"):
        first = call(path)[1]
        first.append(("X-Added-By-A-Server", "yes"))
        assert "X-Added-By-A-Server" not in fields(call(path)), path


@pytest.mark.parametrize(("code", "phrase"), [(200, "OK"), (404, "Not Found"), (503, "Service Unavailable")])
def test_status_has_its_phrase(code: int, phrase: str) -> None:
    assert call(f"/status/{code}")[0] == f"{code} {phrase}"


@pytest.mark.parametrize("code", [204, 304])
def test_statuses_without_a_body_have_none(code: int) -> None:
    status, headers, body = call(f"/status/{code}")
    assert (headers, body) == ([], [])


@pytest.mark.parametrize(
    "path",
    [
        "/bytes/",
        "/bytes/-1",
        "/bytes/x",
        "/bytes/1/2",
        "/bytes/1073741825",
        "/bytes/\u00b2",
        "/stream/1048577",
        "/sleep/60001",
        "/sleep/nan",
        "/sleep/.",
        "/sleep/1e9",
        "/cpu/",
        "/cpu/1.2.3",
        "/headers/1001",
        "/status/100",
        "/status/101",
        "/status/600",
    ],
)
def test_numbers_out_of_range_are_a_400_that_says_what_is_expected(path: str) -> None:
    status, headers, body = call(path)
    assert status == "400 Bad Request"
    assert b"expected" in b"".join(body)


def test_unknown_paths_are_a_404() -> None:
    for path in ("/nowhere", "/plaintext/", "/bytes", "//", "/headers"):
        assert call(path)[0][:3] in ("404", "400"), path
    assert call("/nowhere")[0] == "404 Not Found"


def test_the_installed_server_serves_every_path() -> None:
    with ServerProcess.start("ironbridge.target:wsgi", "--threads=4") as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        seen = {}
        for path in (
            "/",
            "/plaintext",
            "/json",
            "/bytes/70000",
            "/stream/70",
            "/sleep/1",
            "/cpu/1",
            "/headers/50",
        ):
            connection.request("GET", path)
            response = connection.getresponse()
            seen[path] = response.status, len(response.read())
        assert {status for status, _ in seen.values()} == {200}
        assert (seen["/bytes/70000"][1], seen["/stream/70"][1], seen["/headers/50"][1]) == (
            70_000,
            71_680,
            1024,
        )
        connection.request("POST", "/echo", body=iter([b"chunk", b"ed"]), encode_chunked=True)
        assert connection.getresponse().read() == b"chunked"
        connection.close()
