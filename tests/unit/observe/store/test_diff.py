"""What changed from one session to another."""

from __future__ import annotations

from treadle.events import Outcome
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord
from treadle.observe.store.diff import ABSENT, Change, diff_sessions, diff_values

RUN = RunRecord(
    1,
    "a",
    ("__default__",),
    "parallel",
    "spawn",
    2,
    0.0,
    1.0,
    Outcome.SUCCEEDED,
    {"tags": ["x"]},
    (
        NodeRecord("fit", 1, Outcome.SUCCEEDED, "worker-1", 0.0, 1.0),
        NodeRecord("plot", 1, Outcome.SUCCEEDED, "worker-1", 1.0, 1.5),
    ),
)
SESSION = SessionRecord(
    "a",
    "/shop",
    "shop",
    None,
    "/shop/conf",
    {"model": {"depth": 5, "rate": 0.1}},
    "treadle run",
    0.0,
    2.0,
    Outcome.SUCCEEDED,
    "ada",
    "loom",
    1,
    "abc",
    False,
    {"LANG": "C"},
    {"python": "3.11", "zope.interface": "1"},
    (RUN,),
)


def test_a_session_does_not_differ_from_itself():
    """Nothing but the nodes is in the difference of two equal sessions."""
    diff = diff_sessions(SESSION, SESSION)
    assert [diff.facts, diff.code, diff.params, diff.arguments, diff.environment, diff.versions] == [()] * 6
    assert [(each.node, each.before, each.after) for each in diff.nodes] == [(node.node, node, node) for node in RUN.nodes]


def test_each_kind_of_change():
    """Params, environment, code, versions, arguments and outcomes that differ are named, and only they."""
    other = SESSION._replace(
        session_id="b",
        env="prod",
        extra_params={"model": {"depth": 6, "rate": 0.1}, "day": 1},
        outcome=Outcome.FAILED,
        git_commit="def",
        git_dirty=True,
        environment={},
        versions={"python": "3.12", "zope.interface": "1"},
        runs=(RUN._replace(start_method="fork", params={"tags": ["x", "y"]}),),
    )
    diff = diff_sessions(SESSION, other)
    assert diff.params == (Change("day", ABSENT, 1), Change("model.depth", 5, 6))
    assert diff.facts == (Change("outcome", "succeeded", "failed"), Change("env", ABSENT, "prod"))
    assert diff.code == (Change("commit", "abc", "def"), Change("not committed", False, True))
    assert diff.environment == (Change("LANG", "C", ABSENT),)
    assert diff.versions == (Change("python", "3.11", "3.12"),)
    assert diff.arguments == (Change("start_method", "spawn", "fork"), Change("tags", ["x"], ["x", "y"]))


def test_nodes_of_either_run():
    """A node that only one run has stands alone; one that was tried again counts by its last attempt."""
    again = (NodeRecord("fit", 1, Outcome.FAILED), NodeRecord("fit", 2, Outcome.SUCCEEDED), NodeRecord("new", 0, Outcome.SKIPPED))
    diff = diff_sessions(SESSION, SESSION._replace(runs=(RUN._replace(nodes=again),)))
    assert [(each.node, each.before, each.after) for each in diff.nodes] == [
        ("fit", RUN.nodes[0], again[1]),
        ("plot", RUN.nodes[1], None),
        ("new", None, again[2]),
    ]


def test_sessions_without_a_run():
    """A session that ended before its run has no nodes and no arguments."""
    diff = diff_sessions(SESSION._replace(runs=()), SESSION._replace(runs=()))
    assert (diff.nodes, diff.arguments) == ((), ())


def test_absent_reads_as_a_dash():
    """What one side lacks is shown as a dash, and is not None: that is a value."""
    assert diff_values({"a": None}, {}) == (Change("a", None, ABSENT),)
    assert repr(ABSENT) == "–"
