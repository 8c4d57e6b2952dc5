"""Edits to a project, and the nodes that run again because of them, in real runs under every runner.

The table of edits is that of the fingerprint's unit tests. For each runner, one process makes the edits one after the other; the
files and the record of the unedited project are restored in between. A worker process is as new as each run.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "unit/fingerprint/edited_project.py"
SPEC = importlib.util.spec_from_file_location("edited_project_of_runs", TABLE)
PROJECT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROJECT)

EDITOR = """
import importlib
import importlib.util
import json
import logging
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

from treadle import Session, bootstrap_project
from treadle.events import NodeFinished
from treadle.observe.store import SQLStore

spec = importlib.util.spec_from_file_location("edited_project", os.environ["TABLE"])
project = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = project
spec.loader.exec_module(project)
edits = {edit.name: edit for edit in project.EDITS}
runner, params = json.loads(os.environ["RUNNER"])
root = Path.cwd()


def run():
    for name in [name for name in sys.modules if name.partition(".")[0] == project.PACKAGE]:
        del sys.modules[name]
    # Python would take compiled files for up to date after an edit of the same size within a second.
    shutil.rmtree(root / "src" / project.PACKAGE / "__pycache__", ignore_errors=True)
    bootstrap_project(root)
    ran = []
    with Session.create() as session:
        note = lambda event: ran.append(event.node) if isinstance(event, NodeFinished) else None
        session.run(runner=runner, runner_params=params, skip_unchanged=True, observers=[note])
    return sorted(ran)


def restore():
    for name, text in project.FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


if __name__ == "__main__":
    restore()
    print(json.dumps(["nothing", run()]))
    shutil.copytree(root / "data", root / "saved")
    with closing(SQLStore(project_path=root)) as store:
        unedited = store.last_successes(project.PACKAGE, None)
    for name in json.loads(os.environ["EDITS"]):
        edit, file = edits[name], root / edits[name].file
        file.write_text(file.read_text().replace(edit.old, edit.new))
        print(json.dumps([name, run()]), flush=True)
        restore()
        shutil.copytree(root / "saved", root / "data", dirs_exist_ok=True)
        with closing(SQLStore(project_path=root)) as store:
            store.save_successes(project.PACKAGE, None, unedited)
"""
SOME = [each for number, each in enumerate(PROJECT.EDITS) if not each.changed or number % 3 == 0]
"""Edits for runners whose workers are processes; those that change nothing need no worker."""
WAYS = {
    "sequential": (PROJECT.EDITS, None),
    "thread": (PROJECT.EDITS, None),
    "fork": (SOME, {"max_workers": 1, "start_method": "fork"}),
    "spawn": (SOME, {"max_workers": 1, "start_method": "spawn"}),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_an_edit_runs_exactly_these_nodes_again(way, launch, tmp_path):
    edits, params = WAYS[way]
    assert len(edits) >= 30
    editor = launch(
        EDITOR,
        tmp_path,
        TABLE=str(TABLE),
        EDITS=json.dumps([each.name for each in edits]),
        RUNNER=json.dumps([way if params is None else "parallel", params]),
    )
    assert editor.wait(500) == 0, editor.output
    found = dict(json.loads(line) for line in editor.output.splitlines() if line.startswith("["))
    assert found.pop("nothing") == sorted(PROJECT.NODES)
    assert found == {each.name: sorted(each.changed) for each in edits}
