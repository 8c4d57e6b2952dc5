"""Ctrl-C at every call and at every import between the start and the end of a session leaves exactly one record, which is true.

A run is repeated with a signal at other places each time. The short form takes a few of them, evenly spread and different for
each length of the run. `TREADLE_CHAOS_ROUNDS` sets their number, for every runner and start method.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(3600 if "TREADLE_CHAOS_ROUNDS" in os.environ else 180)

INTERRUPT_AT = Path(__file__).parent / "interrupt_at.py"
FULL = "TREADLE_CHAOS_ROUNDS" in os.environ
PLACES = int(os.environ.get("TREADLE_CHAOS_ROUNDS", "2"))
EXIT_CALLS = 200
"""The last calls of a run are the command's exit, after its record is closed: a signal there changes at most the exit code."""

PROJECT = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "tiny"\n',
    "src/tiny/__init__.py": "",
    "src/tiny/settings.py": "",
    "src/tiny/pipeline_registry.py": """
from treadle.pipeline import Pipeline, node


def double(n):
    return 2 * n


def register_pipelines():
    return {"__default__": Pipeline([node(double, "params:n", "twice", name="double"), node(str, "twice", "text", name="write")])}
""",
    "conf/base/catalog.yml": "text:\n  type: text.TextDataset\n  filepath: data/text.txt\n",
    "conf/base/parameters.yml": "n: 21\n",
}


@pytest.fixture
def project(tmp_path):
    """A project of two nodes, small so that most of what happens is Treadle's own."""
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


class Runs:
    """Runs of the project, each with signals at its own places."""

    def __init__(self, root, runner):
        self.root = root
        self.words = ("run", *runner)

    def run(self, kind, first=0, second=0):
        """Run once; return exit code, outcome of each record, number of events, and what was printed."""
        store = self.root / ".treadle"
        for file in store.glob("*") if store.is_dir() else ():
            file.unlink()
        report = self.root / "events.txt"
        done = subprocess.run(
            [sys.executable, INTERRUPT_AT, str(first), str(second), kind, report, *self.words],
            cwd=self.root, capture_output=True, text=True, timeout=120, check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        outcomes = []
        if (store / "sessions.db").exists():
            with closing(sqlite3.connect(store / "sessions.db")) as database:
                outcomes = [row[0] for row in database.execute("SELECT outcome FROM treadle_sessions")]
        return done.returncode, outcomes, int(report.read_text()), done.stdout + done.stderr


RUNNERS = {
    "sequential": ("--runner=sequential",),
    "thread": ("--runner=thread",),
    **{
        method: ("--runner=parallel", f"--runner-params=max_workers=2,start_method={method}")
        for method in ("fork", "spawn", "forkserver", "loky")
    },
}


@pytest.fixture(params=RUNNERS if FULL else ["sequential"])
def runs(request, project):
    """Runs under each runner and start method; the short form takes one of them."""
    return Runs(project, RUNNERS[request.param])


def _places(count):
    """Choose places: anywhere, and more of them towards the end, where the record is made."""
    draw = random.Random(count)
    spread = [draw.randrange(count * part // PLACES, count * (part + 1) // PLACES) + 1 for part in range(PLACES)]
    return sorted({1, *spread, *(draw.randrange(count * 9 // 10, count) + 1 for _ in range(PLACES // 2))})


def _had_ended(place, events, output):
    """Return whether the command had printed its last line, or was about to exit, when the signal arrived."""
    return "treadle.run: Session " in output or place > events - EXIT_CALLS


@pytest.mark.parametrize("kind", ["call", "import"])
def test_one_interrupt(runs, kind):
    """The exit code says that the run was interrupted, and so does the one record; past the record's end neither does."""
    code, outcomes, count, output = runs.run(kind)
    assert (code, outcomes) == (0, ["succeeded"]), output
    for place in _places(count):
        code, outcomes, events, output = runs.run(kind, place)
        # The number of events differs a little from run to run.
        if events < place or (outcomes == ["succeeded"] and _had_ended(place, events, output)):
            continue
        assert (code, outcomes) == (130, ["interrupted"]), f"{kind} {place} of {count}: {code}, {outcomes}\n{output}"
        assert "Traceback" not in output, f"{kind} {place} of {count}\n{output}"


def test_a_second_interrupt_while_the_first_is_dealt_with(runs):
    """However soon it follows, it neither loses the record nor makes a second one."""
    _, _, count, _ = runs.run("call")
    draw = random.Random(count)
    for place in _places(count):
        second = place + draw.choice((1, 2, 5, 20, 100, 1000))
        code, outcomes, events, output = runs.run("call", place, second)
        if outcomes == ["succeeded"] and _had_ended(place, events, output):
            continue
        assert (code, outcomes) == (130, ["interrupted"]), f"calls {place} and {second} of {count}\n{output}"
        assert "Traceback" not in output, f"calls {place} and {second} of {count}\n{output}"
