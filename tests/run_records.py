"""Records of runs, as short as a test can say them; the fixture `records` is this module."""

from __future__ import annotations

from treadle.events import Dispatch, Outcome
from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, SessionRecord, SessionState, WorkerRecord
from treadle.observe.store.run_graph import GraphDataset, GraphNode, RunGraph, Source

START = 1000.0


def graph(parents, *, resources=(), limits=None):
    """A graph of nodes `{name: names of parents}`, each of which makes one dataset in memory."""
    names = list(parents)
    needs = dict(resources)
    nodes = tuple(
        GraphNode(
            name,
            tuple(names.index(parent) for parent in of_node),
            (names.index(name),),
            tuple(names.index(parent) for parent in of_node),
            name.rpartition(".")[0] or None,
            (),
            Source(f"project.nodes.{name}", "/p/nodes.py", 1),
            main_only=False,
            resources=tuple(needs.get(name, ())),
        )
        for name, of_node in parents.items()
    )
    return RunGraph(nodes, tuple(GraphDataset(f"of {name}", "memory") for name in names), limits or {})


def attempt(name, worker, started, finished, *, number=1, outcome=Outcome.SUCCEEDED, sent=None, assigned=None, until=None):
    """An attempt; its times are seconds after the start of the run."""

    def at(seconds):
        return None if seconds is None else START + seconds

    dispatch = Dispatch(at(sent), at(assigned), at(until)) if sent is not None else None
    took = finished - started if finished is not None else None
    phases = (took * 0.25, took * 0.5, took * 0.25) if took is not None and outcome is Outcome.SUCCEEDED else (None, None, None)
    error = ErrorRecord("ValueError", f"{name} is broken", "Traceback …", name) if outcome is Outcome.FAILED else None
    return NodeRecord(name, number, outcome, worker, at(started), at(finished), *phases, error=error, dispatch=dispatch)


def session(graph, nodes, *, wall, workers=2, outcome=Outcome.SUCCEEDED, ready=0.0, state=SessionState.FINISHED, **more):
    """A session with one run."""
    names = sorted({node.worker for node in nodes if node.worker})
    run = RunRecord(
        number=1, run_id="r", pipelines=("__default__",), runner="parallel", start_method="fork", worker_count=workers,
        started=START, finished=None if wall is None else START + wall, outcome=outcome, nodes=tuple(nodes), graph=graph,
        workers=tuple(WorkerRecord(name, 10 + place, START + ready) for place, name in enumerate(names)),
        node_count=len(nodes),
    )  # fmt: skip
    fields = {"session_id": "2026-01-02T00.00.00.000Z-b", **more}
    return SessionRecord(
        project_path="/p", package_name="p", env=None, conf_source="/p/conf", extra_params={}, command="treadle run",
        started=START, finished=run.finished, outcome=outcome, user="me", host="here", pid=1, git_commit=None, git_dirty=None,
        environment={}, versions={"python": "3.11"}, runs=(run,), state=state, **fields,
    )  # fmt: skip
