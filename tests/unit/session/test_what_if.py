"""What a recorded run would have taken."""

from __future__ import annotations

import pytest

from treadle.errors import SessionError
from treadle.events import Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord
from treadle.pipeline import Pipeline, node
from treadle.planning.policies import read_policies
from treadle.session.what_if import what_if


def pipelines():
    """A chain of two beside one node of its own."""
    return {
        "__default__": Pipeline(
            [
                node(lambda x: x, "raw", "a", name="first"),
                node(lambda x: x, "a", "b", name="second"),
                node(lambda x: x, "raw", "c", name="alone"),
            ]
        )
    }


def session(spans, outcome=Outcome.SUCCEEDED, reused=()):
    """A session whose one run recorded these starts and ends by node, and these nodes as up to date."""
    nodes = tuple(NodeRecord(name, 1, Outcome.SUCCEEDED, "worker-1", start, end) for name, (start, end) in spans.items())
    nodes += tuple(NodeRecord(name, 1, Outcome.REUSED, None, None, None) for name in reused)
    run = RunRecord(1, "r", ("__default__",), "parallel", "fork", 2, 0.0, 10.0, outcome, {}, nodes)
    return SessionRecord(
        session_id="s",
        project_path="/p",
        package_name="p",
        env=None,
        conf_source="/p/conf",
        extra_params={},
        command=None,
        started=0.0,
        finished=10.0,
        outcome=outcome,
        user=None,
        host=None,
        pid=1,
        git_commit=None,
        git_dirty=None,
        environment={},
        versions={},
        runs=(run,),
    )


SPANS = {"first": (0.0, 2.0), "second": (2.0, 5.0), "alone": (0.0, 4.0)}


def test_makespans_follow_the_number_of_workers():
    """One worker takes all the work, two take the longest path, and more take no less."""
    answer = what_if(session(SPANS), pipelines(), [1, 2, 4])
    assert [(count, seconds) for count, seconds, _least in answer.makespans] == [(1, 9.0), (2, 5.0), (4, 5.0)]
    assert answer.recorded == pytest.approx(5.0)


def test_the_longest_path_is_told():
    """What bounds the run is named node by node."""
    answer = what_if(session(SPANS), pipelines(), [1])
    assert answer.critical_nodes == (("first", 2.0), ("second", 3.0))
    assert answer.critical_path == pytest.approx(5.0)


def test_a_failed_run_cannot_be_asked():
    """A run that failed has nodes without times, and says so."""
    with pytest.raises(SessionError, match="did not succeed"):
        what_if(session(SPANS, Outcome.FAILED), pipelines(), [1])


def test_nodes_that_were_up_to_date_take_no_time():
    """A run that skipped some of its nodes is simulated with the others; one that skipped all has nothing to simulate."""
    answer = what_if(session({"second": (2.0, 5.0), "alone": (2.0, 6.0)}, reused=["first"]), pipelines(), [1, 2])
    assert [(count, seconds) for count, seconds, _least in answer.makespans] == [(1, 7.0), (2, 4.0)]
    assert answer.recorded == pytest.approx(4.0)
    with pytest.raises(SessionError, match="were up to date, so there are no times"):
        what_if(session({}, reused=list(SPANS)), pipelines(), [1])


def test_a_project_that_changed_is_told_apart():
    """Nodes that the project has no more, or that the run had not, are named."""
    with pytest.raises(SessionError, match="alone"):
        what_if(session({name: span for name, span in SPANS.items() if name != "alone"}), pipelines(), [1])


def test_limits_of_resources_hold():
    """What the configuration limits holds for each number of workers, and no limit is below what a node had when it ran."""
    rules = read_policies(
        {"nodes": {"first": {"resources": {"gpu": 2}}, "alone": {"resources": {"gpu": 1}}}, "resources": {"gpu": 1}}
    )
    answer = what_if(session(SPANS), pipelines(), [1, 4], lambda _pipeline: rules)
    assert [(count, seconds) for count, seconds, _least in answer.makespans] == [(1, 9.0), (4, 6.0)]
