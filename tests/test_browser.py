"""The demo site in a real browser: headless Chromium. BROWSER=0 leaves these tests out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_site import big_file, running_demo
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from serving import ServerProcess

pytestmark = [
    pytest.mark.skipif(os.environ.get("BROWSER") == "0", reason="left out by BROWSER=0"),
    pytest.mark.timeout(120),
]
WAIT_SECONDS = 30
INSTALL = "the browser tests need Chromium and ChromeDriver: apt-get install chromium chromium-driver, or BROWSER=0"
ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,1400",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo site, with a database of its own."""
    with running_demo(tmp_path_factory.mktemp("var")) as server:
        yield server


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser puts what it downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(demo: ServerProcess, downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with a profile of its own, logged in to the admin."""
    options = ChromeOptions()
    options.binary_location = _find("chromium", "chromium-browser", "google-chrome")
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to start as root
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=ChromeService(_find("chromedriver")))
    try:
        browser.set_page_load_timeout(WAIT_SECONDS)
        log_in(browser, demo)
        yield browser
    finally:
        browser.quit()


@pytest.fixture(autouse=True)
def no_complaints(browser: Chrome) -> Iterator[None]:
    """After each test: the browser has logged no error, such as a style sheet that did not load."""
    browser.get_log("browser")
    yield
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def _find(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.fail(INSTALL)


def log_in(browser: Chrome, demo: ServerProcess) -> None:
    """Logs in on the admin's own page."""
    browser.get(f"{demo.url}/admin/")
    fill(browser, username="admin", password="admin")
    click(browser, "input[type=submit]")
    wait_text(browser, "Site administration")


def fill(browser: Chrome, **fields: str) -> None:
    """Types into form fields."""
    for name, value in fields.items():
        element = browser.find_element(By.NAME, name)
        if element.get_attribute("type") != "file":
            element.clear()
        element.send_keys(value)


def click(browser: Chrome, selector: str) -> None:
    """Clicks the first element of a CSS selector."""
    browser.find_element(By.CSS_SELECTOR, selector).click()


def text_of(browser: Chrome) -> str:
    """What the page says. Read in one step: the page may be replaced meanwhile."""
    return str(browser.execute_script("return document.body ? document.body.innerText : ''"))


def wait_text(browser: Chrome, text: str) -> None:
    """Waits until the page says `text`."""
    waiting = WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05)
    waiting.until(lambda _: text in text_of(browser), f"the page never said {text!r}")


def test_the_admin_is_styled(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/admin/")
    rules = browser.execute_script("return [...document.styleSheets].map(sheet => sheet.cssRules.length)")
    assert rules
    assert all(rules)


def test_the_admin_adds_and_edits_a_message(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/admin/guestbook/message/add/")
    fill(browser, author="A browser", text="typed by hand")
    click(browser, "input[name=_save]")
    wait_text(browser, "was added successfully")
    browser.find_element(By.LINK_TEXT, "A browser").click()
    fill(browser, text="typed anew")
    click(browser, "input[name=_save]")
    wait_text(browser, "was changed successfully")
    browser.get(f"{demo.url}/guestbook/")
    wait_text(browser, "typed anew")


def test_the_guest_book_takes_a_message(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/guestbook/")
    fill(browser, author="Zoë", text="Grüße, 世界")
    click(browser, "#send")
    wait_text(browser, "Thank you for your message.")
    wait_text(browser, "Grüße, 世界")


def test_20_mb_go_up_and_come_back_byte_by_byte(
    browser: Chrome, demo: ServerProcess, downloads: Path, tmp_path: Path
) -> None:
    sent = big_file(tmp_path)
    browser.get(f"{demo.url}/files/")
    fill(browser, file=str(sent))
    click(browser, "#upload")
    wait_text(browser, f"Kept {sent.name}, {sent.stat().st_size} bytes.")
    browser.find_element(By.LINK_TEXT, sent.name).click()
    received = downloads / sent.name
    # Chromium writes to another name, and gives the file its own when it is complete.
    WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: received.exists(), "no download came")
    assert received.read_bytes() == sent.read_bytes()


def test_a_page_shows_its_stream_while_it_arrives(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/stream/")
    wait_text(browser, "line 1 of 10")
    wait_text(browser, "line 10 of 10")
    wait_text(browser, "arrived in")
    pieces = int(browser.find_element(By.ID, "arrivals").text.split()[2])
    assert pieces >= 5, "ten lines, 0.3 s apart, came in fewer pieces"


def test_requests_that_wait_overlap(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/")
    click(browser, "#wait")
    wait_text(browser, "all after")
    seconds = float(browser.find_element(By.ID, "waited").text.rsplit("all after ")[-1].split()[0])
    assert seconds < 10, "twenty waits of a second, six at a time"


def test_the_flask_pages_work(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/flask/")
    wait_text(browser, "Flask, beside Django")
    browser.find_element(By.LINK_TEXT, "JSON").click()
    wait_text(browser, '"mounted_at":"/flask"')
    browser.get(f"{demo.url}/flask/stream?count=3&delay=0.1")
    wait_text(browser, "1\n2\n3")


def test_the_flask_form_greets(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/flask/form")
    fill(browser, name="Zoë")
    click(browser, "#send")
    wait_text(browser, "Hello, Zoë!")


def test_flask_takes_an_upload(browser: Chrome, demo: ServerProcess, tmp_path: Path) -> None:
    browser.get(f"{demo.url}/flask/upload")
    small = tmp_path / "small.txt"
    small.write_text("three words here")
    fill(browser, file=str(small))
    click(browser, "#send")
    wait_text(browser, "small.txt")
    wait_text(browser, "size\t16")


def test_logging_out_closes_the_admin(browser: Chrome, demo: ServerProcess) -> None:
    browser.get(f"{demo.url}/")
    click(browser, "#logout")
    wait_text(browser, "Log in")
    browser.get(f"{demo.url}/files/")
    wait_text(browser, "password")
    log_in(browser, demo)
