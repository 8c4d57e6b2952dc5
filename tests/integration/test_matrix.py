"""One project, run in each of the seven ways: the same outputs, hooks and logs, and each worker configured once."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from treadle import Session
from treadle.events import NodeFinished, NodeStarted, Outcome, RunFinished, RunStarted, WorkerStarted
from treadle.observe.store import SQLStore
from treadle.project import configure_count

DATA = ("by_city.csv", "clean_orders.parquet", "ledger.txt", "model.pkl", "report.txt", "threads.txt", "totals.json")
IN_PROCESS = ("sequential", "thread")


@dataclass(frozen=True)
class Seen:
    """All that could be seen of one run of the project."""

    files: dict
    values: dict
    tally: list
    records: list
    printed: str
    events: list
    session: object
    configured: int
    """How often the parent was configured."""


class _Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def _see(root, way, runner):
    handler, printed, events = _Keep(), io.StringIO(), []
    logger = logging.getLogger("loom")
    logger.setLevel(logging.INFO)
    logging.root.addHandler(handler)
    try:
        with contextlib.redirect_stdout(printed), Session.create(extra_params={"way": way}) as session:
            result = session.run(runner=runner, observers=(events.append,))
            values = dict(result)
    finally:
        logging.root.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    with contextlib.closing(SQLStore(project_path=root)) as store:
        record = store.load(session.session_id)
    return Seen(
        files={name: (root / "data" / name).read_bytes() for name in DATA},
        values=values,
        tally=[line.split("\t") for line in (root / "tally.txt").read_text().splitlines()],
        records=[each for each in handler.records if each.name.startswith("loom")],
        printed=printed.getvalue(),
        events=events,
        session=record,
        configured=configure_count(),
    )


@pytest.fixture(scope="module")
def see(make_loom, in_project, runner_for):
    """`see(way)`: what one run shows; each way is run once."""
    seen = {}

    def once(way):
        if way not in seen:
            root = make_loom()
            with in_project(root):
                seen[way] = _see(root, way, runner_for(way))
        return seen[way]

    return once


@pytest.fixture(scope="module", params=("sequential", "thread", "fork", "spawn", "forkserver", "loky", "dask"))
def way(request):
    """Each way to run, dask on a cluster of this machine among them."""
    if request.param == "dask":
        pytest.importorskip("distributed")
    return request.param


@pytest.fixture
def seen(see, way):
    """What a run shows, for each way."""
    return see(way)


@pytest.fixture
def plain(see):
    """What a sequential run shows."""
    return see("sequential")


def test_files_equal(seen, plain):
    """Every file is the same, byte for byte, whatever ran the nodes."""
    assert seen.files == plain.files
    assert plain.files["report.txt"] == b"0.5 26.5 10 sesame: 26.50"
    assert len(plain.files["threads.txt"].splitlines()) == 10


def test_values_equal(seen, plain):
    """Every in-memory free output is the same, whatever ran the nodes (failures 4, 11)."""
    assert seen.values.keys() == plain.values.keys()
    expected = {
        "woven": [7] * 5,
        "raised": 125,
        "thrown": 10,
        "dyed": 2.0 * np.arange(250_000).sum(),
        "measured": float(np.arange(250_000).sum()),
        "changed": 2,
        "unchanged": [5],
        "report": "0.5 26.5 10 sesame: 26.50",
    }
    assert {name: seen.values[name] for name in expected} == expected


def test_hooks_equal(seen, plain):
    """Each hook is called as often, and about the same, whatever ran the nodes (failure 1)."""
    calls = Counter((hook, about) for hook, about, _pid, _configured in seen.tally)
    assert calls == Counter((hook, about) for hook, about, _pid, _configured in plain.tally)
    chunks = {("before_dataset_saved", "threads of spin"), ("after_dataset_saved", "threads str of spin")}
    assert {call for call, times in calls.items() if times != 1} == chunks
    assert {calls[chunk] for chunk in chunks} == {10}
    per_hook = Counter(hook for hook, *_ in seen.tally)
    assert per_hook["before_node_run"] == per_hook["after_node_run"] == 20
    assert per_hook["before_pipeline_run"] == per_hook["after_pipeline_run"] == per_hook["on_session_created"] == 1
    assert ("before_dataset_loaded", "params:model.depth for total") in calls


def test_hooks_run_where_the_data_is(seen, way):
    """Session and pipeline hooks run in the parent; node and dataset hooks run in the workers."""
    parent = {pid for hook, _about, pid, _configured in seen.tally if "node" not in hook and "dataset" not in hook}
    assert parent == {str(os.getpid())}
    at_work = {pid for hook, about, pid, _ in seen.tally if hook == "before_node_run" and about != "enter_ledger"}
    workers = {str(event.pid) for event in seen.events if isinstance(event, WorkerStarted) and event.worker != "main"}
    if way in IN_PROCESS:
        assert at_work == parent
    else:
        # The node after the ledger runs in a worker again only where its dataset can.
        at_work -= parent
        assert at_work  # one of them may be through with everything before the other is up
        assert at_work <= workers


def test_nodes_of_datasets_that_stay_run_in_the_parent(seen):
    """A dataset that may not leave the main process makes its nodes run there, and no others."""
    pids = {about: pid for hook, about, pid, _ in seen.tally if hook == "before_node_run"}
    here = str(os.getpid())
    assert pids["enter_ledger"] == pids["write_report"] == here


def test_each_worker_is_configured_once(seen, way):
    """`configure_project` runs once in each worker that did not inherit it, and not again in one that did (failure 2)."""
    here = str(os.getpid())
    counts = {pid: set() for _hook, _about, pid, _configured in seen.tally if pid != here}
    for _hook, _about, pid, configured in seen.tally:
        if pid != here:
            counts[pid].add(int(configured))
    expected = {seen.configured} if way == "fork" else {1}
    assert all(count == expected for count in counts.values())
    assert bool(counts) == (way not in IN_PROCESS)


def test_every_log_line_arrives(seen, way):
    """Log lines of nodes reach the parent's handlers, at the parent's levels, tagged with node and worker (failures 1, 16)."""
    lines = {(record.name, record.levelname, record.getMessage()) for record in seen.records}
    assert lines == {("loom.nodes", "INFO", "kept 5 of 6 orders"), ("loom.nodes", "WARNING", "summing 5 rows")}
    assert len(seen.records) == 2
    if way not in IN_PROCESS:
        assert {record.node for record in seen.records} == {"clean", "sum_by_city"}
        assert {record.worker.partition("@")[0] for record in seen.records} <= {"worker-1", "worker-2"}


def test_every_print_arrives(seen):
    """What nodes print is written to the parent's standard output, the end of a line that never ended included."""
    assert "printed by clean\n" in seen.printed
    assert "printed without a newline" in seen.printed


def test_events_tell_each_node_once(seen):
    """Each node starts once and finishes once, between the run's first and last event."""
    assert isinstance(seen.events[0], RunStarted)
    assert isinstance(seen.events[-1], RunFinished)
    assert seen.events[-1].outcome is Outcome.SUCCEEDED
    nodes = Counter(seen.events[0].nodes)
    assert Counter(event.node for event in seen.events if isinstance(event, NodeStarted)) == nodes
    assert Counter(event.node for event in seen.events if isinstance(event, NodeFinished)) == nodes


def test_record_tells_all(seen, way):
    """The record holds runner, start method, and each node with its worker, times, sizes and outcome."""
    assert seen.session.outcome is Outcome.SUCCEEDED
    assert seen.session.extra_params == {"way": way}
    (run,) = seen.session.runs
    assert run.runner == (way if way in (*IN_PROCESS, "dask") else "parallel")
    assert run.start_method == (None if way in (*IN_PROCESS, "dask") else way)
    assert len(run.nodes) == 20
    for node in run.nodes:
        assert node.outcome is Outcome.SUCCEEDED
        assert node.attempt == 1
        assert node.started <= node.finished
        assert min(node.load_seconds, node.run_seconds, node.save_seconds) >= 0
    workers = {worker.worker: worker.pid for worker in run.workers}
    assert {node.worker for node in run.nodes} <= set(workers)
    if way not in IN_PROCESS:
        assert {label.partition("@")[0] for label in workers} & {"worker-1", "worker-2"}
        assert len(set(workers.values())) == len(workers)
        sizes = {name: size for node in run.nodes for name, size in node.sizes}
        assert sizes["cloth"] >= 2_000_000
        assert 0 < sizes["count"] < 100


def test_the_record_has_what_a_report_shows(seen, plain):
    """The graph, when each node was sent to its worker, and the memory of this process, whatever ran the nodes."""
    (run,), (first,) = seen.session.runs, plain.session.runs
    assert [each._replace(source=None) for each in run.graph.nodes] == [each._replace(source=None) for each in first.graph.nodes]
    assert {each.source.function for each in run.graph.nodes} >= {"loom.nodes.clean", "loom.nodes.sum_by_city"}
    assert [node.name for node in run.graph.nodes] == list(dict.fromkeys(each.node for each in run.nodes))
    parents = {each.name: [run.graph.nodes[parent].name for parent in each.parents] for each in run.graph.nodes}
    finished = {each.node: each.finished for each in run.nodes}
    for each in run.nodes:
        assert run.started <= each.dispatch.submitted
        assert all(finished[parent] <= each.finished for parent in parents[each.node])
    assert run.memory.processes[0][0] == "main"
