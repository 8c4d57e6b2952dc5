"""How many jobs a worker may hold, by the durations of nodes and the number of ready nodes."""

from __future__ import annotations

import pytest

from treadle.execution.scheduling.workers import Workers


def workers(count, seconds):
    """Return workers that have run nodes of a duration."""
    made = Workers(None)
    for number in range(1, count + 1):
        made.add(number)
    made.note_seconds([seconds] * 3)
    return made


def test_the_first_nodes_are_assigned_one_by_one():
    """Until it is known how long nodes take."""
    made = Workers(None)
    made.add(1)
    assert made.depth(10_000) == 1


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, 1), (0.001, 5), (0.0001, 50), (0.000_001, 256), (0.0, 256)])
def test_a_worker_holds_work_for_milliseconds(seconds, expected):
    """Five of them, so that urgent nodes need not wait behind more, and never very many jobs."""
    assert workers(2, seconds).depth(256) == expected


@pytest.mark.parametrize(
    ("count", "ready", "expected"), [(2, 10_000, 1024), (2, 3000, 750), (2, 1000, 256), (64, 10_000, 256), (64, 100_000, 781)]
)
def test_a_worker_holds_more_if_very_many_nodes_are_ready(count, ready, expected):
    """At most half of its share of them, so that the last ones are spread over all workers."""
    assert workers(count, 0.000_001).depth(ready) == expected


def test_more_jobs_do_not_last_longer():
    """The limit of time applies to very many ready nodes, too."""
    assert workers(2, 0.0001).depth(10_000) == 50


def test_a_fixed_depth_does_not_change():
    """Such as that of a simulation."""
    made = Workers(3)
    made.note_seconds([0.000_001])
    assert made.depth(10_000) == 3
