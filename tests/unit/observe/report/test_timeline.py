"""What the nodes of a run waited for, and its critical path, compared with sums by hand and with simulated runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.events import Outcome
from treadle.execution.scheduling.simulator import bounds, simulate
from treadle.observe.report.critical_path import critical_path
from treadle.observe.report.timeline import Waits, statuses, timeline_of
from treadle.observe.report.what_if import plan_of
from treadle.observe.store import SessionState


def timeline(session):
    return timeline_of(session, session.runs[0])


def waits_of(session):
    """The waits of each attempt, by name and number."""
    found = timeline(session)
    return {(found.graph.nodes[each.node].name, each.number): each.waits for each in found.attempts}


def approximately(**seconds):
    return pytest.approx(tuple(getattr(Waits(**seconds), name) for name in Waits._fields))


def as_tuple(waits):
    return tuple(getattr(waits, name) for name in Waits._fields)


def test_each_wait_has_its_cause(diamond):
    """Start-up, a free worker, inputs and a transfer, as they happened."""
    waits = {name: as_tuple(each) for (name, _number), each in waits_of(diamond).items()}
    assert waits["a"] == approximately(startup=0.5, worker=0.5)
    assert waits["b"] == approximately(inputs=3.0)
    assert waits["c"] == approximately(inputs=3.0, worker=1.0)
    assert waits["d"] == approximately(inputs=7.0, worker=0.2, transfer=0.3)


def test_the_critical_path_covers_the_whole_run(diamond):
    """It is the chain that ended last, with its waits, and its parts sum to the wall time."""
    found = timeline(diamond)
    path = critical_path(found)
    assert [found.graph.nodes[step.attempt.node].name for step in path.steps] == ["a", "b", "d"]
    assert path.seconds == pytest.approx({"work": 7.5, "startup": 0.5, "worker": 0.7, "transfer": 0.3, "end": 1.0})
    assert sum(path.seconds.values()) == pytest.approx(found.wall)


def test_a_delay_before_another_attempt_is_a_wait(records):
    """The second attempt waits from the end of the first: for its delay, then for a worker; the path has both attempts."""
    nodes = [
        records.attempt("a", "worker-1", 0.0, 2.0, sent=0.0, outcome=Outcome.FAILED),
        records.attempt("a", "worker-2", 6.0, 9.0, sent=5.5, until=5.0, number=2),
    ]
    session = records.session(records.graph({"a": ()}), nodes, wall=9.0)
    assert as_tuple(waits_of(session)["a", 2]) == approximately(delay=3.0, worker=1.0)
    path = critical_path(timeline(session))
    assert [step.attempt.number for step in path.steps] == [1, 2]
    assert path.seconds == pytest.approx({"work": 5.0, "delay": 3.0, "worker": 1.0})


def test_a_wait_for_a_resource_is_not_a_wait_for_a_worker(records):
    """While other nodes use too much of a resource, a node waits for it; the rest of its wait is for a worker."""
    graph = records.graph(
        {"a": (), "b": (), "c": ()}, resources={"a": (("gpu", 1),), "b": (("gpu", 2),), "c": ()}, limits={"gpu": 2}
    )
    nodes = [
        records.attempt("a", "worker-1", 0.0, 4.0, sent=0.0),
        records.attempt("c", "worker-2", 0.0, 1.0, sent=0.0),
        records.attempt("b", "worker-2", 4.5, 6.0, sent=4.5),
    ]
    waits = waits_of(records.session(graph, nodes, wall=6.0))
    assert as_tuple(waits["b", 1]) == approximately(resource=4.0, worker=0.5)


def test_clocks_that_disagree_give_no_negative_waits(records):
    """A node of another machine that seems to start before its parent ended has waits of zero, and the sums still hold."""
    nodes = [records.attempt("a", "worker-1", 0.0, 3.0, sent=0.0), records.attempt("b", "worker-2", 2.0, 4.0, sent=3.1)]
    session = records.session(records.graph({"a": (), "b": ("a",)}), nodes, wall=5.0)
    assert all(seconds >= 0 for waits in waits_of(session).values() for seconds in as_tuple(waits))


def test_a_run_without_a_graph_has_a_timeline(records):
    """The record of a custom runner has no edges: bars, but no inputs to wait for."""
    session = records.session(None, [records.attempt("a", "main", 1.0, 2.0)], wall=3.0)
    found = timeline(session)
    assert not found.has_edges
    assert as_tuple(found.attempts[0].waits) == approximately(worker=1.0)


def test_a_running_node_lasts_until_the_last_sign_of_life(records):
    """A session that is running or lost has no end: the heartbeat counts."""
    nodes = [records.attempt("a", "worker-1", 1.0, None, sent=1.0, outcome=None)]
    session = records.session(records.graph({"a": ()}), nodes, wall=None, outcome=None, heartbeat=1006.0)
    found = timeline(session)
    assert (found.wall, found.attempts[0].finished, found.outcomes) == (6.0, 6.0, (None,))


@pytest.mark.parametrize("outcome", [None, Outcome.INTERRUPTED])
def test_the_critical_path_of_a_run_that_was_cut_off_ends_with_the_node_that_ran_longest(records, outcome):
    """Several nodes were running at the end: the run waited for the one that started first, not for one that had just started."""
    end = None if outcome is None else 6.0
    nodes = [
        records.attempt("first", "worker-1", 1.0, 2.0, sent=1.0),
        records.attempt("long", "worker-1", 2.0, end, sent=2.0, outcome=outcome),
        records.attempt("short", "worker-2", 5.9, end, sent=5.9, outcome=outcome),
    ]
    graph = records.graph({"first": (), "long": ("first",), "short": ("first",)})
    found = timeline(records.session(graph, nodes, wall=end, outcome=outcome, heartbeat=1006.0))
    path = critical_path(found)
    assert [graph.nodes[step.attempt.node].name for step in path.steps] == ["first", "long"]
    assert sum(path.seconds.values()) == pytest.approx(6.0)


def test_nothing_is_running_in_a_session_that_is_lost(records):
    """Its process is gone: what ran is lost, and what had failed is not repeated any more."""
    failed = records.attempt("b", "worker-2", 1.0, 2.0, sent=1.0, outcome=Outcome.FAILED)._replace(retried=True)
    nodes = [records.attempt("a", "worker-1", 1.0, None, sent=1.0, outcome=None), failed]
    graph = records.graph({"a": (), "b": (), "c": ("a", "b")})
    given = {"wall": None, "outcome": None, "heartbeat": 1006.0}
    assert statuses(timeline(records.session(graph, nodes, **given, state=SessionState.LOST))) == [
        "lost",
        "failed",
        "not reached",
    ]
    running = timeline(records.session(graph, nodes, **given, state=SessionState.RUNNING))
    assert statuses(running) == ["running", "waiting for a retry", "not reached"]


@st.composite
def runs(draw):
    """A random graph, the seconds of its nodes, and a number of workers."""
    count = draw(st.integers(1, 12))
    names = [f"n{number}" for number in range(count)]
    parents = {
        name: tuple(names[each] for each in sorted(draw(st.sets(st.integers(0, index - 1), max_size=3)))) if index else ()
        for index, name in enumerate(names)
    }
    seconds = draw(st.lists(st.floats(0.01, 5.0), min_size=count, max_size=count))
    return parents, seconds, draw(st.integers(1, 4))


@given(run=runs())
def test_a_simulated_run_is_explained_completely(records, run):
    """The waits of a node reach to its start, and the path covers the run; with many workers it is the graph's longest path."""
    parents, seconds, workers = run
    graph = records.graph(parents)
    plan = plan_of(graph)
    for count in (workers, len(seconds)):
        simulation = simulate(plan, seconds, count)
        nodes = [
            records.attempt(name, f"worker-{simulation.placed[index]}", start, start + seconds[index], sent=start)
            for index, (name, start) in enumerate(zip(parents, simulation.starts, strict=True))
        ]
        found = timeline(records.session(graph, nodes, wall=simulation.makespan, workers=count))
        for each in found.attempts:
            assert each.waits.total == pytest.approx(each.started, abs=1e-6)
        path = critical_path(found)
        assert sum(path.seconds.values()) == pytest.approx(found.wall, abs=1e-6)
        if count == len(seconds):
            assert path.work == pytest.approx(bounds(plan, seconds).critical_path, abs=1e-6)
