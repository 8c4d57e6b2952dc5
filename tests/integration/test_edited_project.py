"""A project that is edited again and again: after each edit, exactly the nodes run whose code the edit changes.

The edits are those of `tests/unit/fingerprint/edited_project.py`. Each run is a new process, forked from one that has imported
Treadle but nothing of the project. The runner has no part in the decisions, so one runner takes all edits and the others a few.
"""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)  # each test runs a project many times

SPEC = importlib.util.spec_from_file_location(
    "edited_project", Path(__file__).parents[1] / "unit" / "fingerprint" / "edited_project.py"
)
PROJECT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROJECT)
EVERY = {"sequential": 1, "thread": 9, "fork": 9, "spawn": 13}
"""Each runner takes one edit of so many."""

DRIVER = """
import json
from itertools import pairwise
import os
import sys
from pathlib import Path

import sqlalchemy

from treadle import Session, bootstrap_project
from treadle.events import NodeFinished


def run_project(runner):
    bootstrap_project(".")
    ran = []
    name, params = ("parallel", {"max_workers": 2, "start_method": runner}) if runner in ("fork", "spawn") else (runner, None)
    with Session.create() as session:
        session.run(
            runner=name,
            runner_params=params,
            skip_unchanged=True,
            observers=[lambda event: ran.append(event.node) if isinstance(event, NodeFinished) else None],
        )
    with open("ran.jsonl", "a") as file:
        file.write(json.dumps(ran) + os.linesep)


sys.dont_write_bytecode = True  # edits of one size follow each other within a second, and Python would take them for equal

if __name__ == "__main__":
    runner, steps = json.loads(Path("steps.json").read_text())
    for step in steps:
        for file, text in step.items():
            Path(file).write_text(text)
        child = os.fork()
        if child == 0:
            run_project(runner)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"the run ended with status {status}"
"""


@pytest.mark.parametrize("way", EVERY)
def test_exactly_the_nodes_run_whose_code_changed(launch, tmp_path, way):
    """An edit is undone before the next one, so that a run has to repeat the nodes of both."""
    for name, text in PROJECT.FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    edits = PROJECT.EDITS[:: EVERY[way]]
    steps, before = [{}], {}
    for edit in edits:
        text = PROJECT.FILES[edit.file]
        assert edit.old in text
        steps.append({**before, edit.file: text.replace(edit.old, edit.new)})
        before = {edit.file: text}
    (tmp_path / "steps.json").write_text(json.dumps([way, steps]))
    launched = launch(DRIVER, tmp_path)
    assert launched.wait(500) == 0, launched.output
    ran = [set(json.loads(line)) for line in (tmp_path / "ran.jsonl").read_text().splitlines()]
    assert ran[0] == set(PROJECT.NODES)
    changed = [frozenset(), *(edit.changed for edit in edits)]
    expected = [old | new for old, new in pairwise(changed)]
    wrong = [
        f"{edit.name}: {sorted(found)} ran, not {sorted(nodes)}"
        for edit, found, nodes in zip(edits, ran[1:], expected, strict=True)
        if found != nodes
    ]
    assert wrong == []
