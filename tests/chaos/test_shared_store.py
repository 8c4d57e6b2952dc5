"""Processes that run one project at the same time against one store: no lock error, no half record, no wrong skip."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, closing

import pytest

from treadle.events import Outcome
from treadle.observe.store import SessionState, SQLStore

pytestmark = pytest.mark.timeout(1200)

ROUNDS = int(os.environ.get("TREADLE_CHAOS_ROUNDS", "0"))
PROCESSES = 8 if ROUNDS else 4
RUNS = max(2, ROUNDS // 4)
"""Runs of each process: 2 in the short form, 25 in the long one of 100 rounds."""
NODES = tuple(f"n{i}" for i in range(6))
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "choir"\nproject_name = "Choir"\n',
    "src/choir/__init__.py": "",
    "src/choir/nodes.py": "def step(*texts):\n    return ' '.join(texts) + '.'\n",
    "src/choir/pipeline_registry.py": """
from treadle import Pipeline, node

from choir.nodes import step


def register_pipelines():
    inputs = [["d0"], ["d1"], ["d1"], ["d2", "d3"], ["d4"], ["d0", "d5"]]
    return {"__default__": Pipeline([node(step, each, f"d{i + 1}", name=f"n{i}") for i, each in enumerate(inputs)])}
""",
    "conf/base/catalog.yml": "".join(f"d{i}: {{type: text.TextDataset, filepath: data/d{i}.txt}}\n" for i in range(7)),
    "conf/local/.gitkeep": "",
    "data/d0.txt": "a",
}
SINGER = """
import json
import os
import random
from pathlib import Path

from treadle import Session, bootstrap_project
from treadle.events import NodeFinished

bootstrap_project(Path.cwd())
choose = random.Random(int(os.environ["SEED"]))
open(os.environ["START"]).read()
for _ in range(int(os.environ["RUNS"])):
    forced = sorted(choose.sample([f"n{i}" for i in range(6)], choose.randrange(4)))
    ran = []

    def note(event):
        if isinstance(event, NodeFinished):
            ran.append(event.node)

    with Session.create() as session:
        session.run(skip_unchanged=True, force=forced, observers=[note])
    print(json.dumps({"session": session.session_id, "forced": forced, "ran": sorted(ran)}), flush=True)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_processes_share_a_store(database, request, launch, tmp_path):
    """Each run after the first of its process runs exactly the nodes that are forced: the others save what they saved before."""
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    root = tmp_path / "choir"
    settings = "" if url is None else f"SESSION_STORE_ARGS = {{'url': {url!r}}}\n"
    for name, text in {**FILES, "src/choir/settings.py": settings}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    starts = [tmp_path / f"start-{number}" for number in range(PROCESSES)]
    for pipe in starts:
        os.mkfifo(pipe)
    singers = [launch(SINGER, root, SEED=str(number), START=str(pipe), RUNS=str(RUNS)) for number, pipe in enumerate(starts)]
    with ExitStack() as stack:
        for pipe in starts:
            stack.enter_context(pipe.open("w"))  # waits until this process is ready; then all begin at once
    lines = []
    for singer in singers:
        assert singer.wait(600) == 0, singer.output
        own = [line for line in singer.output.splitlines() if line.startswith("{")]
        assert [line for line in singer.output.splitlines() if line not in own] == []  # no warning
        lines.append([json.loads(line) for line in own])
    for own in lines:
        assert len(own) == RUNS
        assert [each["ran"] for each in own[1:]] == [each["forced"] for each in own[1:]]
        assert set(own[0]["forced"]) <= set(own[0]["ran"])
    with closing(SQLStore(url, project_path=root)) as store:
        sessions = store.list(PROCESSES * RUNS + 1)
        assert {each.session_id for each in sessions} == {each["session"] for own in lines for each in own}
        assert {(each.state, each.outcome, each.failed) for each in sessions} == {(SessionState.FINISHED, Outcome.SUCCEEDED, 0)}
        assert {each.succeeded + each.reused for each in sessions} == {len(NODES)}
        assert set(store.last_successes("choir", None)) == set(NODES)
