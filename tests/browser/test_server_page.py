"""The page of the server in a real browser: live, with hostile names, with mouse and keyboard, without errors on the console."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")

HOSTILE = "<img src=x onerror=alert(1)>"
REGISTRY = f"""
from pathlib import Path
import threading
from treadle.pipeline import Pipeline, node

def block(factor):
    tick = threading.Event()
    while not Path("gate").exists():
        tick.wait(0.01)
    return factor

def fail(factor):
    raise ValueError("{HOSTILE}")

def register_pipelines():
    return {{
        "__default__": Pipeline([node(block, "params:factor", "b", name="{HOSTILE}"), node(str, "b", "c", name="after")]),
        "{HOSTILE}": Pipeline([node(fail, "params:factor", "never", name="fail")]),
    }}
"""


@pytest.fixture
def server(tmp_path):
    """A server on a project with hostile names; its address and its folder."""
    content = {
        "pyproject.toml": f'[tool.treadle]\npackage_name = "shown"\nproject_name = "{HOSTILE}"\n',
        "src/shown/__init__.py": "",
        "src/shown/pipeline_registry.py": REGISTRY,
        "conf/base/parameters.yml": "factor: 2\n",
    }
    for name, words in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(words)
    command = [sys.executable, "-m", "treadle", "server", "start", "--port", "0", "--runner", "thread", "--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0], tmp_path
        finally:
            (tmp_path / "gate").touch()
            process.terminate()


def test_the_page_is_live_and_safe(browser, server):
    """Runs appear, progress and end without a reload; names are text; runs are cancelled and resumed by button; reports open."""
    url, root = server
    client = httpx.Client(base_url=url, timeout=60)
    failed = client.post("/runs", json={"pipelines": [HOSTILE]}, params={"wait": 60}).json()
    assert failed["state"] == "failed"
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith(url) else problems.append(request.url))
    page.goto(url)
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("[data-state=failed]").count() == 1
    running = client.post("/runs", json={}).json()["id"]
    queued = client.post("/runs", json={}).json()["id"]
    page.locator(f"[data-state=running]:has-text('{running}')").wait_for()
    assert page.locator("[data-state=running] progress").get_attribute("max") == "2"
    assert HOSTILE in page.locator("[data-state=running]").inner_text()
    page.locator(f"tr:has-text('{queued}') button").focus()
    page.keyboard.press("Enter")
    page.locator(f"[data-state=cancelled]:has-text('{queued}')").wait_for()
    picture(page, "server")
    (root / "gate").touch()
    page.locator(f"[data-state=succeeded]:has-text('{running}')").wait_for()
    page.locator(f"tr:has-text('{queued}') button").click()
    page.locator("[data-state=succeeded]").nth(1).wait_for()
    with context.expect_page() as opened:
        page.locator(f"tr:has-text('{running}') a:has-text('report')").click()
    report = opened.value
    report.wait_for_load_state()
    report.wait_for_function("document.documentElement.dataset.ready === 'yes'")
    assert running in report.content()
    assert problems == []
    page.set_viewport_size({"width": 390, "height": 800})  # a phone: the table scrolls, and words stay whole
    assert page.evaluate("Math.max(...[...document.querySelectorAll('.state')].map((each) => each.getClientRects().length))") == 1
    picture(page, "server-390")
    check_accessibility(page)
    context.close()
    client.close()


def test_a_button_that_fails_says_why(browser, server):
    """The message of the server stays on the page, which is refreshed each second; the button can be used again."""
    url, _root = server
    with httpx.Client(base_url=url, timeout=60) as client:
        run_id = client.post("/runs", json={}).json()["id"]
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            refusal = {"error": {"type": "NotCancellable", "message": f"It has ended {HOSTILE}."}}
            page.route("**/cancel", lambda route: route.fulfill(status=409, json=refusal))
            page.locator("button").click()
            with page.expect_response("**/page/runs"):
                page.locator("#problem:has-text('It has ended')").wait_for()
            assert page.locator("#problem").inner_text() == refusal["error"]["message"]
            page.unroute("**/cancel")
            page.route("**/cancel", lambda route: route.abort())
            page.locator("button").click()
            page.locator("#problem:has-text('does not answer')").wait_for()
            page.unroute("**/cancel")
            page.locator("button").click()
            page.locator(f"[data-state=cancelled]:has-text('{run_id}')").wait_for()
            assert page.locator("#problem").inner_text() == ""


def check_accessibility(page):
    """Check the page with axe."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert [each["id"] for each in found.response["violations"]] == []


def picture(page, name):
    """Write a screenshot, for people to look at."""
    folder = os.environ.get("TREADLE_TEST_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
