"""Real applications of the frameworks that people serve, over real sockets."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import ServerProcess

SITES = Path(__file__).parents[1] / "sites"
UPLOAD = b"".join(b"%07d\n" % number for number in range(20_000_000 // 8))


def _client(app: str, folder: Path, env: dict[str, str | None] | None = None) -> Iterator[httpx.Client]:
    with (
        ServerProcess.start(app, cwd=folder, env=env) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def fastapi() -> Iterator[httpx.Client]:
    yield from _client("main:app", SITES / "fastapi_site")


@pytest.fixture(scope="module")
def quart() -> Iterator[httpx.Client]:
    yield from _client("app:app", SITES / "quart_site")


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = str(tmp_path_factory.mktemp("bench"))
    yield from _client("bench.asgi", SITES / "bench_django", env={"BENCH_VAR": folder})


def test_fastapi_sees_the_state_of_its_lifespan(fastapi: httpx.Client) -> None:
    response = fastapi.get("/")
    assert (response.json(), response.headers["X-Stamp"]) == ({"greeting": "hello from the lifespan"}, "/")


def test_fastapi_checks_models(fastapi: httpx.Client) -> None:
    response = fastapi.post("/items", json={"name": "tea", "price": 2.5})
    assert response.json() == {"name": "TEA", "price": 5.0, "tags": ["seen"]}
    assert fastapi.post("/items", json={"name": "tea"}).status_code == 422


def test_fastapi_runs_functions_and_dependencies_in_threads(fastapi: httpx.Client) -> None:
    facts = fastapi.get("/thread").json()
    assert "AnyIO" in facts["dependency"] and not facts["is main"]


def test_fastapi_logs_in_with_a_form_and_a_cookie(fastapi: httpx.Client) -> None:
    assert fastapi.post("/login", data={"user": "ada", "password": "wrong"}).status_code == 401
    assert fastapi.post("/login", data={"user": "ada", "password": "right"}).json() == {"user": "ada"}
    assert fastapi.get("/whoami").json() == {"user": "ada"}


def test_fastapi_takes_an_upload_of_20_mb(fastapi: httpx.Client) -> None:
    response = fastapi.post("/upload", files={"file": ("numbers.txt", UPLOAD)})
    digest = hashlib.sha256(UPLOAD).hexdigest()
    assert response.json() == {"name": "numbers.txt", "size": len(UPLOAD), "sha256": digest}


def test_fastapi_streams(fastapi: httpx.Client) -> None:
    assert fastapi.get("/stream").text == "".join(f"line {number}\n" for number in range(5))


def test_fastapi_sends_files(fastapi: httpx.Client) -> None:
    assert fastapi.get("/file").content == (SITES / "fastapi_site" / "main.py").read_bytes()


def test_fastapi_events_end_when_the_client_leaves(fastapi: httpx.Client) -> None:
    with fastapi.stream("GET", "/events") as response:
        assert next(response.iter_lines()) == "data: 0"
    _wait_for(fastapi, "events")


def test_fastapi_works_in_the_background(fastapi: httpx.Client) -> None:
    assert fastapi.post("/later").json() == {"accepted": True}
    _wait_for(fastapi, "later")


def test_fastapi_errors_are_500(fastapi: httpx.Client) -> None:
    assert fastapi.get("/broken").status_code == 500
    assert fastapi.get("/nowhere").status_code == 404


def test_quart(quart: httpx.Client) -> None:
    assert quart.get("/").json() == {"started": ["begun"]}
    assert quart.post("/form", data={"a": "b"}).json() == {"a": "b"}
    assert quart.get("/stream").text == "line 0\nline 1\nline 2\n"


def test_django(django: httpx.Client) -> None:
    assert django.get("/json").json() == {"message": "Hello, world!"}
    for key in range(1, 40):
        assert django.get(f"/db/{key}").json()["id"] == key


def _wait_for(client: httpx.Client, entry: str) -> None:
    """Waits until the site says that something is done."""
    deadline = time.monotonic() + 15
    while entry not in client.get("/done").json():
        assert time.monotonic() < deadline, f"{entry} is not done"
        time.sleep(0.02)
