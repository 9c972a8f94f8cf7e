"""The demo site with curl: what scripts and health checks do."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_site import big_file, running_demo
from serving import ServerProcess

CURL_SECONDS = 40


class Curl:
    """curl with a cookie jar of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.jar = folder / "cookies.txt"

    def __call__(self, path: str, *options: str) -> str:
        """Fetches a page; a status of 400 and above fails. Without --location, redirects are not followed."""
        return self._run(path, "--fail-with-body", *options).decode()

    def status(self, path: str, *options: str) -> int:
        """Fetches a page and gives its status alone."""
        return int(self._run(path, "--output", "/dev/null", "--write-out", "%{http_code}", *options))

    def post(self, path: str, **fields: str) -> str:
        """Sends a form as a browser would: with the page's CSRF token, and following the redirect."""
        token = self.token(path)
        data = [f"{name}={value}" for name, value in {"csrfmiddlewaretoken": token, **fields}.items()]
        return self(path, "--location", *(option for item in data for option in ("--data-urlencode", item)))

    def token(self, path: str) -> str:
        """The CSRF token of the form on a page."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self(path))
        assert found, f"no form at {path}"
        return found.group(1)

    def _run(self, path: str, *options: str) -> bytes:
        jar = str(self.jar)
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--cookie",
            jar,
            "--cookie-jar",
            jar,
            *options,
            self.url + path,
        ]
        done = subprocess.run(command, capture_output=True, timeout=CURL_SECONDS, check=False)
        assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr!r} {done.stdout[:2000]!r}"
        return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo site, with a database of its own."""
    if shutil.which("curl") is None:
        pytest.fail("curl is not installed: apt-get install curl")
    with running_demo(tmp_path_factory.mktemp("var")) as server:
        yield server


@pytest.fixture
def curl(demo: ServerProcess, tmp_path: Path) -> Curl:
    """curl, logged in nowhere."""
    return Curl(demo.url, tmp_path)


@pytest.fixture
def admin(curl: Curl) -> Curl:
    """curl, logged in as the administrator."""
    page = curl.post("/admin/login/?next=/admin/", username="admin", password="admin", next="/admin/")
    assert "Site administration" in page
    return curl


def test_the_front_page_shows_the_request_and_the_process(curl: Curl, demo: ServerProcess) -> None:
    page = curl("/", "--header", "X-Shown: on the page")
    assert "on the page" in page
    assert "<th>Server</th><td>ironbridge/" in page
    assert re.search(r"<th>Process</th><td>\d+</td>", page)


def test_the_admin_wants_a_login_and_refuses_a_wrong_password(curl: Curl) -> None:
    assert curl.status("/admin/") == 302
    page = curl.post("/admin/login/?next=/admin/", username="admin", password="wrong")
    assert "Please enter the correct username and password" in page


def test_the_admins_style_sheet_is_served(curl: Curl) -> None:
    assert "--primary" in curl("/static/admin/css/base.css")


def test_the_admin_adds_edits_and_deletes_a_message(admin: Curl) -> None:
    page = admin.post("/admin/guestbook/message/add/", author="curl", text="added by curl", _save="Save")
    assert "was added successfully" in page
    key = re.search(r"/admin/guestbook/message/(\d+)/change/[^>]*>curl<", page)
    assert key
    change = f"/admin/guestbook/message/{key.group(1)}/change/"
    assert "was changed successfully" in admin.post(change, author="curl", text="edited by curl", _save="Save")
    assert "edited by curl" in admin("/guestbook/")
    delete = f"/admin/guestbook/message/{key.group(1)}/delete/"
    assert "was deleted successfully" in admin.post(delete, post="yes")
    assert "edited by curl" not in admin("/guestbook/")


def test_the_guest_book_takes_what_unicode_has(curl: Curl) -> None:
    assert "Grüße, 世界 🌉" in curl.post("/guestbook/", author="Zoë", text="Grüße, 世界 🌉")


def test_20_mb_go_up_and_come_back_byte_by_byte(admin: Curl, tmp_path: Path) -> None:
    sent = big_file(tmp_path)
    token = admin.token("/files/")
    fields = ["--form", f"csrfmiddlewaretoken={token}", "--form", f"file=@{sent}"]
    page = admin("/files/", "--location", *fields)
    assert hashlib.sha256(sent.read_bytes()).hexdigest() in page
    key = re.search(r'href="(/files/\d+/)"', page)
    assert key
    received = tmp_path / "received"
    admin(key.group(1), "--output", str(received))
    assert received.read_bytes() == sent.read_bytes()


def test_a_file_is_not_given_to_strangers(curl: Curl) -> None:
    assert curl.status("/files/1/") == 302


def test_lines_arrive_one_at_a_time(demo: ServerProcess) -> None:
    url = f"{demo.url}/stream/lines/?count=6&delay=0.2"
    command = ["curl", "--silent", "--no-buffer", "--max-time", str(CURL_SECONDS), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        arrivals = [(line, time.monotonic()) for line in process.stdout]
    assert [line.split(" at ")[0] for line, _ in arrivals] == [f"line {index} of 6" for index in range(1, 7)]
    assert arrivals[-1][1] - arrivals[0][1] > 0.5, "the lines came together"


def test_a_big_table_streams_whole(curl: Curl) -> None:
    table = curl("/stream/rows.csv?rows=100000").splitlines()
    assert len(table) == 100_001
    assert table[-1] == '100000,10000000000,"row ""100000"", quoted"'


def test_waiting_pages_overlap(demo: ServerProcess) -> None:
    start = time.monotonic()
    urls = [f"{demo.url}/slow/?seconds=0.5&request={index}" for index in range(20)]
    command = ["curl", "--silent", "--fail", "--parallel", "--parallel-immediate", "--max-time", "30", *urls]
    done = subprocess.run(command, capture_output=True, timeout=CURL_SECONDS, check=True)
    assert done.stdout.count(b"waited") == 20
    assert time.monotonic() - start < 5.0, "20 waits of half a second came one after another"


def test_a_failing_page_is_a_500_with_its_traceback_in_the_log(curl: Curl, demo: ServerProcess) -> None:
    assert curl.status("/error/") == 500
    demo.wait_log("RuntimeError: this page always fails")
    assert curl.status("/") == 200


def test_flask_knows_where_it_is_mounted(curl: Curl, demo: ServerProcess) -> None:
    facts = json.loads(curl("/flask/json?a=1"))
    assert (facts["mounted_at"], facts["path"]) == ("/flask", "/json")
    assert facts["url"] == f"{demo.url}/flask/json?a=1"
    assert 'href="/flask/form"' in curl("/flask/")


def test_flask_answers_a_form_with_a_redirect(curl: Curl) -> None:
    assert "Hello, Zoë!" in curl("/flask/form", "--location", "--data-urlencode", "name=Zoë")


def test_flask_takes_20_mb(curl: Curl, tmp_path: Path) -> None:
    sent = big_file(tmp_path)
    page = curl("/flask/upload", "--form", f"file=@{sent}")
    assert hashlib.sha256(sent.read_bytes()).hexdigest() in page


def test_flask_streams(curl: Curl) -> None:
    assert curl("/flask/stream?count=5&delay=0.01").split() == ["1", "2", "3", "4", "5"]


def test_flask_shows_its_own_error_pages(curl: Curl) -> None:
    assert curl.status("/flask/error") == 500
    assert curl.status("/flask/nowhere") == 404
