"""What surrounds a run: standard streams that are closed, a locale without Unicode, a path with a space and an umlaut."""

from __future__ import annotations

import contextlib
import shlex
import sys

import pytest

from treadle.cli.scaffold import create_project
from treadle.events import Outcome
from treadle.observe.store import SQLStore

PRINTING = 'rows = list(csv.DictReader(raw_orders.splitlines()))\n    print("öffnen", len(rows), flush=True)'
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.fixture
def shop(tmp_path):
    """A project in a folder with a space and an umlaut in its name; one of its nodes prints."""
    root = create_project("starter", tmp_path / "wöllner laden", project_name="Wöllner", package_name="shop")
    nodes = root / "src/shop/pipelines/cleaning/nodes.py"
    nodes.write_text(nodes.read_text("utf-8").replace("rows = list(csv.DictReader(raw_orders.splitlines()))", PRINTING), "utf-8")
    return root


def _run(launch, root, then, **environment):
    command = f"exec {shlex.quote(sys.executable)} -m treadle run {then}"
    return launch(["sh", "-c", command], root, **environment)


def _record(root):
    with contextlib.closing(SQLStore(project_path=root)) as store:
        (summary,) = store.list()
        return store.load(summary.session_id)


@pytest.mark.parametrize("method", ["fork", "spawn", "loky"])
def test_closed_streams(launch, shop, leftovers, method):
    """A run without standard input, output and error succeeds, under every start method."""
    flags = f"--runner=parallel --runner-params=max_workers=1,start_method={method}"
    assert _run(launch, shop, f"{flags} <&- >&- 2>&-").wait() == 0
    assert _record(shop).outcome is Outcome.SUCCEEDED
    leftovers.check()


def test_a_locale_without_unicode(launch, shop):
    """Where paths cannot be decoded the run succeeds, is recorded, and what the locale has no letters for is printed escaped."""
    launched = _run(launch, shop, "--runner=parallel", **ASCII)
    assert launched.wait() == 0, launched.output
    assert r"\xf6ffnen 30" in launched.output
    record = _record(shop)
    assert record.outcome is Outcome.SUCCEEDED
    assert "laden" in record.project_path
