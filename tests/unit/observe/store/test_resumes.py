"""Claims of sessions that are resumed, in a SQLite store: one at a time, and none that outlives its process."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from treadle.observe.store import SQLStore
from treadle.observe.store.liveness import LOST_AFTER

CLAIMERS = 8


@pytest.fixture
def store(tmp_path: Path):
    with closing(SQLStore(project_path=tmp_path)) as opened:
        yield opened


def test_of_sessions_that_claim_at_once_one_gets_it(tmp_path: Path) -> None:
    """The others get the claim of that one, which is active."""
    found, start = [], threading.Barrier(CLAIMERS)

    def claim(number: int) -> None:
        with closing(SQLStore(project_path=tmp_path)) as store:
            start.wait()
            found.append((f"session {number}", *store.claim_resume("origin", f"session {number}", None)))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(CLAIMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == CLAIMERS
    (winner,) = [name for name, _, is_ours in found if is_ours]
    assert {claim.resumed_by for _, claim, _ in found} == {winner}
    assert all(claim.is_active for _, claim, _ in found)


def test_a_claim_ends_with_its_run(store: SQLStore) -> None:
    """Then another session gets it, if it has seen that claim; one that has not seen it does not."""
    assert store.resume_claim("origin") is None
    first, is_ours = store.claim_resume("origin", "first", None)
    assert is_ours
    assert store.resume_claim("origin") == first
    store.end_resume(first)
    ended = store.resume_claim("origin")
    assert ended is not None
    assert not ended.is_active
    assert store.claim_resume("origin", "unaware", None) == (ended, False)
    second, is_ours = store.claim_resume("origin", "second", ended)
    assert is_ours
    assert store.claim_resume("origin", "third", ended) == (second, False)
    store.end_resume(first)  # too late: it is another claim by now
    assert store.resume_claim("origin") == second


def test_a_claim_ends_with_its_process(store: SQLStore) -> None:
    """On this machine by process id and start time, on another one by the last heartbeat."""
    claim, _ = store.claim_resume("origin", "first", None)
    assert claim.is_active
    gone = claim.process._replace(started=(claim.process.started or 0.0) - 100)
    assert not claim._replace(process=gone).is_active
    elsewhere = claim._replace(process=claim.process._replace(host="another"))
    assert elsewhere.is_active
    long_ago = elsewhere._replace(claimed=time.time() - LOST_AFTER - 1)
    assert not long_ago.is_active
    assert long_ago._replace(heartbeat=time.time()).is_active
