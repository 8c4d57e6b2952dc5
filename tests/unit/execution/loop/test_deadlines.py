"""Deadlines: what is due comes in its order, and nothing before its time."""

from __future__ import annotations

from treadle.execution.loop.deadlines import Deadlines, Late, Wake


def test_what_is_due_comes_in_order():
    """What was due first comes first, ties as they came; what is not due yet stays."""
    deadlines = Deadlines()
    assert (deadlines.queue, deadlines.seconds_left(), deadlines.take_due()) == ([], None, [])
    late = Late(3, 1, 1, 2.0)
    deadlines.add(-1, Wake(1))
    deadlines.add(-2, late)
    deadlines.add(3600, Wake(2))
    assert deadlines.seconds_left() == 0.0
    assert deadlines.take_due() == [late, Wake(1)]
    assert deadlines.take_due() == []
    assert 3500 < deadlines.seconds_left() <= 3600
