"""Losses: who is to blame for a worker that is gone."""

from __future__ import annotations

from treadle.execution.executors.events import WorkerDown
from treadle.execution.loop.losses import Losses


def test_every_second_loss_on_the_way_to_a_node_is_an_attempt():
    """A node whose workers die before it begins uses its attempts up, however many it has."""
    losses = Losses(None, None, {})
    down = WorkerDown(1, 7, -9, None, None, 0)
    assert [losses.judge(down, [3, 4])[0] for _ in range(6)] == [None, 3, None, 3, None, 3]
