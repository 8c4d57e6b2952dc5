"""Session ids."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from treadle.session.identity import SessionClock, new_session_id


def test_an_id_is_a_time_and_a_suffix() -> None:
    """UTC with milliseconds, fit for a file name, then eight letters."""
    first = SessionClock().next_id(1_795_351_952.1239)
    assert re.fullmatch(r"2026-11-22T12\.52\.32\.123Z-[a-z2-7]{8}", first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z-[a-z2-7]{8}", new_session_id())


def test_ids_increase_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    """The time in an id moves on even where the system's clock does not."""
    clock = SessionClock()
    ids = [clock.next_id(now) for now in (100.0, 100.0, 100.0, 99.0, 100.0005, 0.0)]
    assert ids == sorted(set(ids))
    assert len({name[:24] for name in ids}) == len(ids)


def test_ids_of_many_threads_are_unique() -> None:
    """Threads that make sessions at once never share an id, not even its time."""
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_session_id(), range(2000)))
    assert len({name[:24] for name in ids}) == 2000


def test_two_processes_in_one_millisecond_differ() -> None:
    """Clocks that know nothing of each other give different ids for the same time."""
    assert len({SessionClock().next_id(1.0) for _ in range(1000)}) == 1000
