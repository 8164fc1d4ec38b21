"""The built site in headless Chromium, to which every other host is unknown: no request fails, no script complains.

Run by `nox -s docs`, once it has built docs/_build/html. CHROMIUM and CHROMEDRIVER name the programs, and screenshots
go to the folder that SCREENSHOTS names.
"""

import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = sorted(file.relative_to(SITE).as_posix() for file in SITE.rglob("*.html") if "_static" not in file.parts)
WIDTHS = {"wide": 1280, "narrow": 400}
SHOWN = ("index.html", "which_sampler.html", "api/vp.html", "auto_gallery/index.html")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
ARGUMENTS += ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking")
UNTIL_SET = """
const done = arguments[0];
const waited = [document.fonts.ready, ...[...document.images].map(one => one.decode().catch(() => 0))];
Promise.all(waited).then(() => window.MathJax?.startup?.promise).then(() => done(""), error => done(String(error)));
"""
DRAWN = "return [...document.querySelectorAll('.math')].map(one => one.querySelector('mjx-container svg') != null)"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said):
        pass


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = os.environ.get("CHROMIUM") or shutil.which("chromium")
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, Service(os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")))
    found.set_script_timeout(60)
    yield found
    found.quit()


def _opened(browser, address, page, width="wide", theme="light"):
    """Open a page and wait until its pictures and formulas are drawn."""
    size = {"width": WIDTHS[width], "height": 1000, "deviceScaleFactor": 1, "mobile": width == "narrow"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    browser.get(address + page)
    assert browser.execute_async_script(UNTIL_SET) == "", page


def _complaints(browser, address):
    """What scripts said and which requests failed or left this machine, since the last time it was asked."""
    said = [one["message"] for one in browser.get_log("browser") if one["level"] in ("WARNING", "SEVERE")]
    events = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = {
        one["params"]["requestId"]: one["params"]["request"]["url"] for one in events if _is(one, "requestWillBeSent")
    }
    failed = [asked.get(one["params"]["requestId"], "?") for one in events if _is(one, "loadingFailed")]
    return said + failed + [url for url in asked.values() if not url.startswith((address, "data:", "blob:"))]


def _is(event, name):
    return event["method"] == f"Network.{name}"


def test_a_request_to_another_host_is_noticed(browser, address):
    """The check itself: such a request is heard of, so silence means that there was none."""
    _opened(browser, address, "index.html")
    browser.execute_async_script("fetch('https://example.org/').catch(() => 0).then(arguments[0])")
    assert any("example.org" in one for one in _complaints(browser, address))


def test_no_request_fails_and_no_script_complains(browser, address):
    _complaints(browser, address)
    found = {}
    for page in PAGES:
        _opened(browser, address, page)
        if complaints := _complaints(browser, address):
            found[page] = complaints
    assert found == {}


def test_formulas_are_drawn(browser, address):
    drawn = {}
    for page in PAGES:
        if 'class="math' in (SITE / page).read_text(encoding="utf-8"):
            _opened(browser, address, page)
            drawn[page] = browser.execute_script(DRAWN)
    assert drawn
    assert all(all(each) for each in drawn.values()), drawn


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(browser, address, width):
    wide = {}
    for page in PAGES:
        _opened(browser, address, page, width)
        if (found := browser.execute_script("return document.documentElement.scrollWidth")) > WIDTHS[width]:
            wide[page] = found
    assert wide == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_screenshots(browser, address, width, theme):
    folder = Path(os.environ.get("SCREENSHOTS") or SITE.parent / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    for page in SHOWN:
        _opened(browser, address, page, width, theme)
        name = f"{page.removesuffix('.html').replace('/', '-')}-{width}-{theme}.png"
        assert browser.save_screenshot(str(folder / name))
