"""Losses: which node is at fault for a lost worker."""

from __future__ import annotations

from treadle.execution.executors.events import WorkerDown
from treadle.execution.loop.losses import Losses


def test_every_second_loss_before_a_node_starts_is_an_attempt():
    """A node whose workers die before it starts uses up its attempts, however many it has."""
    losses = Losses(None, None, {})
    down = WorkerDown(1, 7, -9, None, None, 0)
    assert [losses.attribute(down, [3, 4])[0] for _ in range(6)] == [None, 3, None, 3, None, 3]


def test_workers_that_died_before_the_run():
    """However many idle workers are lost, the node that was sent to each of them is not at fault."""
    losses = Losses(None, None, {})
    down = WorkerDown(1, 7, -9, None, None, 0, was_idle=True)
    assert [losses.attribute(down, [3, 4]) for _ in range(4)] == [(None, False)] * 4


def test_a_worker_that_was_shut_down_from_outside():
    """No node is at fault, not even the one that it was running."""
    losses = Losses(None, None, {})
    down = WorkerDown(1, 7, None, 3, 1.0, 0, left=True)
    assert [losses.attribute(down, [3, 4]) for _ in range(3)] == [(None, False)] * 3
