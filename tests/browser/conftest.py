"""A browser for the tests of the report page, and pages that it shows.

`TREADLE_TEST_BROWSER` is the path of chromium; CI sets it, so that a missing browser is a failure there. Otherwise the chromium
of the machine is used, and the tests are skipped if there is none. `TREADLE_TEST_SCREENSHOTS` is a folder for screenshots.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    """One browser for the tests of a module; its event loop must have ended before other tests run theirs in this thread."""
    program = os.environ.get("TREADLE_TEST_BROWSER") or shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; `.ci/chromium` installs it")
    sync_api = pytest.importorskip("playwright.sync_api") if "TREADLE_TEST_BROWSER" not in os.environ else _playwright()
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield started
        started.close()


def _playwright():
    from playwright import sync_api

    return sync_api


class Shown:
    """A report in the browser, with all that went wrong in it.

    Attributes:
        page: playwright's page.
        problems: errors of scripts, messages on the console, and requests to anywhere but the file itself.
    """

    def __init__(self, browser, file, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.problems = []
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._note(request.url, file))
        self.page.goto(file.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_function("document.documentElement.dataset.ready === 'yes'")

    def _note(self, url, file):
        if url != file.as_uri():
            self.problems.append(f"request: {url}")

    def scroll_through(self):
        """Bring each section near, and wait until it is drawn."""
        drawn = {"graph": "#graph-view > *", "nodes": "#table .rows", "usage": "#concurrency canvas"}
        for section, content in drawn.items():
            if self.page.locator(f"#{section}").is_visible():
                self.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
                self.page.locator(content).first.wait_for(state="attached")
        self.page.evaluate("window.scrollTo(0, 0)")

    def picture(self, name):
        """Write a screenshot of the whole page, for people to look at."""
        folder = os.environ.get("TREADLE_TEST_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def selected_count(self, selector):
        """Return how many elements match."""
        return self.page.locator(selector).count()


@pytest.fixture
def show(browser, tmp_path):
    """`show(report, …)`: write a report to a file, and open it in a new page; what went wrong in any of them fails the test."""
    opened = []

    def open_report(report, **options):
        file = report.save(tmp_path / f"report-{len(opened)}.html")
        opened.append(Shown(browser, file, **options))
        return opened[-1]

    yield open_report
    problems = [problem for each in opened for problem in each.problems]
    for each in opened:
        each.context.close()
    assert problems == []
