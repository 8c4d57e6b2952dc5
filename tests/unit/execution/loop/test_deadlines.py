"""Deadlines: they are returned in order, and none before its time."""

from __future__ import annotations

from treadle.execution.loop.deadlines import Deadlines, TimeoutCheck, Wake


def test_due_deadlines_are_returned_in_order():
    """The earliest comes first, ties in the order of `add`; those that are not due yet stay."""
    deadlines = Deadlines()
    assert (deadlines.queue, deadlines.seconds_left(), deadlines.pop_due()) == ([], None, [])
    check = TimeoutCheck(3, 1, 1, 2.0)
    deadlines.add(-1, Wake(1))
    deadlines.add(-2, check)
    deadlines.add(3600, Wake(2))
    assert deadlines.seconds_left() == 0.0
    assert deadlines.pop_due() == [check, Wake(1)]
    assert deadlines.pop_due() == []
    assert 3500 < deadlines.seconds_left() <= 3600
