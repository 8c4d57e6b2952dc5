"""The contents of persistent outputs travel from the process that saved them to the observers that ask for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from treadle import Catalog, NodeError, ParallelRunner, Pipeline, SequentialRunner, node
from treadle.events import NodeFinished, Outcome
from treadle.io.contents import content_of, digest_of
from treadle.io.datasets.text import TextDataset
from treadle.observe.store import SQLStore


class Contents:
    """An observer that collects the contents of outputs, by node."""

    records_outputs = True

    def __init__(self):
        self.of = {}

    def __call__(self, event):
        if isinstance(event, NodeFinished):
            self.of[event.node] = event.outputs


class Table(TextDataset):
    """A dataset without a file of its own, as far as Treadle knows."""

    content_record = None


class Replaced(TextDataset):
    """A dataset that another process replaces as soon as it is saved."""

    def save(self, data):
        super().save(data)
        other = f"{self.filepath}.other"
        TextDataset(other).save("theirs")
        Path(other).replace(self.filepath)


class Killing(TextDataset):
    """A dataset whose process is killed as soon as the file has its name."""

    def save(self, data):
        super().save(data)
        os.kill(os.getpid(), signal.SIGKILL)


def _chunks():
    for number in range(3):
        yield f"{number}\n", {f"p{number}": f"part {number}"}


@pytest.fixture
def catalog(tmp_path):
    """Outputs of all kinds."""
    text = {"type": "text.TextDataset"}
    made = Catalog.from_config(
        {
            "facts": {"type": "json.JSONDataset", "filepath": "facts.json"},
            "versioned": {**text, "filepath": "versioned.txt", "versioned": True},
            "cached": {"type": "CachedDataset", "dataset": {**text, "filepath": "cached.txt"}},
            "log": {**text, "filepath": "log.txt", "save_args": {"mode": "a"}},
            "parts": {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "text.TextDataset"},
        },
        project_path=tmp_path,
    )
    made["table"] = Table(tmp_path / "table")
    made["replaced"] = Replaced(tmp_path / "replaced.txt")
    return made


PIPELINE = Pipeline(
    [
        node(
            lambda: ({"a": 1}, "v", "c", "mine", "t"), None, ["facts", "versioned", "cached", "replaced", "table"], name="whole"
        ),
        node(_chunks, None, ["log", "parts"], name="chunks"),
        node(lambda facts: 1, "facts", "value", name="memory"),
    ]
)


def test_contents_of_outputs(any_runner, catalog):
    """They are those that the node wrote; each is what a load reads later, unless another process has replaced it."""
    seen = Contents()
    any_runner.run(PIPELINE, catalog, observers=[seen], run_id="run-1")
    of = {record.dataset: record for records in seen.of.values() for record in records}
    assert [[record.dataset for record in seen.of[name]] for name in ("whole", "chunks", "memory")] == [
        ["cached", "facts", "replaced", "table", "versioned"],
        ["log", "parts"],
        [],
    ]
    assert of["replaced"].digest == digest_of(b"mine")
    assert content_of(catalog["replaced"], "replaced").digest == digest_of(b"theirs")
    assert of["table"].digest is None
    assert of["versioned"].version == "run-1"
    assert of["log"].digest == digest_of(b"0\n1\n2\n")
    for name in ("facts", "cached", "log", "parts"):
        assert of[name].same_content(content_of(catalog[name], name))


def test_a_run_that_nobody_records_does_not_pay(catalog):
    """Without an observer that asks, files are not read again."""
    seen = Contents()
    seen.records_outputs = False
    SequentialRunner().run(PIPELINE, catalog, observers=[seen])
    assert seen.of == {"whole": (), "chunks": (), "memory": ()}


def test_outputs_that_are_saved_in_threads(catalog):
    """As `is_async` saves them."""
    seen = Contents()
    whole = Pipeline([PIPELINE.nodes[[each.name for each in PIPELINE.nodes].index("whole")]])
    SequentialRunner(is_async=True).run(whole, catalog, observers=[seen])
    assert [record.dataset for record in seen.of["whole"]] == ["cached", "facts", "replaced", "table", "versioned"]
    assert seen.of["whole"][2].digest == digest_of(b"mine")


def test_a_worker_that_is_killed_between_saving_and_reporting(tmp_path):
    """The file is whole, and there is no record of it."""
    seen = Contents()
    pipeline = Pipeline([node(lambda: "whole", None, "x", name="killed")])
    with pytest.raises(NodeError, match="SIGKILL"):
        ParallelRunner(2).run(pipeline, Catalog({"x": Killing(tmp_path / "x.txt")}), observers=[seen])
    assert seen.of == {}
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "whole"


RECORDED = """
import os, signal, sys
from pathlib import Path
from treadle import Session
from treadle.project import bootstrap_project

move = os.replace

def move_and_die(file, target, **folders):
    move(file, target, **folders)
    if Path(target).name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = move_and_die
bootstrap_project(Path.cwd())
with Session.create() as session:
    session.run(runner="sequential", to_nodes=["write_report"])
"""


def test_a_run_that_is_killed_between_saving_and_recording(make_loom):
    """The session is lost, the file is that of an undisturbed run, and the record has no content for it."""

    def run(kills_at):
        root = make_loom()
        environment = {**os.environ, "LOOM_TALLY": str(root / "tally.txt")}
        done = subprocess.run([sys.executable, "-c", RECORDED, kills_at], cwd=root, env=environment, check=False)
        with closing(SQLStore(project_path=root)) as store:
            record = store.load(store.list()[0].session_id)
        outputs = {output.dataset: output for node in record.runs[-1].nodes for output in node.outputs}
        return done.returncode, record.outcome, outputs, (root / "data" / "report.txt").read_bytes()

    code, outcome, outputs, report = run("report.txt")
    assert (code, outcome) == (-signal.SIGKILL, None)
    assert "report" not in outputs
    code, outcome, outputs, undisturbed = run("nothing")
    assert (code, outcome) == (0, Outcome.SUCCEEDED)
    assert report == undisturbed
    assert outputs["report"].digest == digest_of(report)
