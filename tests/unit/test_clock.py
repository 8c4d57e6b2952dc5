"""A clock that runs on when the system's clock is set."""

from __future__ import annotations

import time

from treadle.clock import Clock


def test_a_clock_shows_the_time_of_day():
    """Between two looks at the system's clock; the sum of two numbers is exact to a microsecond."""
    before = time.time()
    clock = Clock()
    shown = clock.now()
    assert before - 1e-5 <= shown <= time.time() + 1e-5


def test_a_clock_runs_on_when_that_of_the_system_is_set(monkeypatch):
    """It neither goes back nor leaps ahead."""
    clock = Clock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock.now() - before < 600
