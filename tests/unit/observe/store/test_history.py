"""The durations of earlier runs, read from a store."""

from __future__ import annotations

from contextlib import closing

import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore


@pytest.fixture
def store(tmp_path, records):
    """Five sessions of one project, one of another environment, one of another project, and one that has not ended."""
    made = SQLStore(project_path=tmp_path)
    for number in range(5):
        nodes = [
            records.attempt("a", "worker-1", 0.0, 1.0 + number, sent=0.0),
            records.attempt("b", "worker-1", 1.0, 2.0, sent=0.0, outcome=Outcome.FAILED),
        ]
        made.save(records.session(None, nodes, wall=10.0 + number, session_id=f"s{number}"))
    other = records.session(None, [records.attempt("a", "worker-1", 0.0, 99.0, sent=0.0)], wall=99.0)
    made.save(other._replace(session_id="s2-env", env="prod"))
    made.save(other._replace(session_id="s2-project", package_name="other"))
    made.save(other._replace(session_id="s2-running", runs=(other.runs[0]._replace(finished=None, outcome=None),)))
    yield made
    made.close()


def test_the_history_of_a_session_is_that_of_its_project(store):
    """Runs before it that have ended, in the same environment, the oldest first, with the nodes that succeeded."""
    past = store.history("s4")
    assert [run.session_id for run in past] == ["s0", "s1", "s2", "s3"]
    assert [(run.seconds, run.outcome) for run in past[:2]] == [(10.0, Outcome.SUCCEEDED), (11.0, Outcome.SUCCEEDED)]
    assert [dict(run.nodes) for run in past] == [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}, {"a": 4.0}]


def test_durations_are_those_of_the_package(store, records):
    """Nodes of other projects in the same store may have the same names; nor do their sessions displace those of the package."""
    other = records.session(None, [records.attempt("a", "worker-1", 0.0, 99.0, sent=0.0)], wall=99.0)
    for number in range(5):
        store.save(other._replace(session_id=f"s5-{number}", package_name="other"))
    assert store.durations(package_name=other.package_name) == {"a": 5.0}
    assert store.durations() == store.durations(package_name="other") == {"a": 99.0}
    assert store.durations(package_name="none") == {}


def test_a_long_history_is_cut(store, tmp_path):
    """At most so many runs, and at most so many nodes in all of them; an empty store has none."""
    assert [run.session_id for run in store.history("s4", runs=2)] == ["s2", "s3"]
    assert [run.session_id for run in store.history("s4", most_nodes=3)] == ["s3"]
    assert store.history("s0") == ()
    assert SQLStore(project_path=tmp_path / "nowhere").history("s0") == ()


def test_the_times_of_a_runner_that_has_not_been_used_for_long(records, tmp_path):
    """Its latest runs are among those from which a runner is chosen: without them it would be tried as if it never had been."""
    runners = ["parallel"] * 4 + ["sequential"] * 21 + ["thread"]
    with closing(SQLStore(project_path=tmp_path)) as store:
        for number, runner in enumerate(runners):
            session = records.session(None, [records.attempt("a", "main", 0.0, 1.0, sent=0.0)], wall=2.0 + number)
            runs = (session.runs[0]._replace(runner=runner),)
            store.save(session._replace(session_id=f"s{number:02}", runs=runs))
        times = store.run_times(session.package_name)
    assert [each.runner for each in times] == ["thread"] + ["sequential"] * 19 + ["parallel"] * 3
    assert [each.seconds for each in times[-3:]] == [5.0, 4.0, 3.0]
