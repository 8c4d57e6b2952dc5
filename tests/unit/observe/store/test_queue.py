"""The queue of a server in the store: on SQLite, and on PostgreSQL where there is a server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from treadle.observe.store import SQLStore, queue_access
from treadle.observe.store.liveness import SessionProcess, this_process
from treadle.observe.store.queued_run import CANCELLED, ENDED, LOST, QUEUED, QueuedRun


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """A store in each kind of database."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with closing(SQLStore(url, project_path=tmp_path)) as made:
        yield made


def run(number, **fields):
    """Make a run that this process has accepted."""
    known = {"run_id": f"r{number}", "package_name": "shop", "submitted": time.time(), "state": QUEUED, "request": "{}"}
    known |= {"digest": "d", "has_secrets": False, "key": None, "process": this_process(), "heartbeat": time.time(), **fields}
    return QueuedRun(**known)


def gone():
    """Return the identity of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        here = this_process()
        return SessionProcess(here.host, process.pid, here.started, here.boot_id)


def test_one_run_for_each_key(store):
    """Of runs with one key, queued at once, one is added, and each caller gets it; keys of other packages are others."""
    assert store.find_queued_by_key("shop", "k") is None
    store.queue_run(run(0))
    with ThreadPoolExecutor(6) as threads:
        found = [each.run_id for each in threads.map(lambda number: store.queue_run(run(number, key="k")), range(1, 7))]
    assert len(set(found)) == 1
    assert store.find_queued_by_key("shop", "k").run_id == found[0]
    assert store.queue_run(run(9, key="k", package_name="other")).run_id == "r9"


def test_what_is_queued_is_read_as_it_was(store):
    """A run is read as it was written; its end removes what was asked for, or keeps it."""
    written = run(1, request='{"body": "ü"}', has_secrets=True, key="k")
    store.queue_run(written)
    store.queue_run(run(2))
    assert store.find_queued("r1") == written
    store.end_queued(["r1"], CANCELLED, keeps_request=True)
    store.end_queued(["r2"], ENDED, keeps_request=False)
    assert (store.find_queued("r1").state, store.find_queued("r1").request) == (CANCELLED, '{"body": "ü"}')
    assert (store.find_queued("r2").state, store.find_queued("r2").request) == (ENDED, "")
    store.queue_run(run(4))
    store.end_queued(["r4"], LOST, keeps_request=True)
    store.queue_run(run(3))
    assert [each.run_id for each in store.newest_queued("shop", 5)] == ["r4", "r3", "r1"]
    assert [each.run_id for each in store.newest_queued("shop", 1)] == ["r4"]
    assert store.find_queued("r5") is None
    assert not store.has_session("r1")


def test_runs_of_a_process_that_is_gone_are_adopted(store):
    """Only queued runs whose process is gone are adopted, in order; another process does not adopt them again."""
    before = gone()
    for number, process in ((3, before), (1, before), (2, this_process())):
        store.queue_run(run(number, process=process))
    store.queue_run(run(4, process=before, state=ENDED))
    store.queue_run(run(5, process=before, package_name="other"))
    elsewhere = SessionProcess("another-machine", 1, None, None)
    store.queue_run(run(6, process=elsewhere))
    store.queue_run(run(7, process=elsewhere, heartbeat=time.time() - 3600))
    assert [each.run_id for each in store.adopt_queued("shop")] == ["r1", "r3", "r7"]
    assert store.adopt_queued("shop") == ()
    assert store.find_queued("r1").process == this_process()


def test_a_run_is_adopted_by_one_process(postgres_url, monkeypatch):
    """Of two servers that find the run of a dead process at the same time, one adopts it (SQLite lets one in at a time)."""
    both_have_read = threading.Barrier(2)
    servers = iter([SessionProcess("one", 11, 1.0, "a"), SessionProcess("two", 22, 1.0, "b")])

    def is_alive(*_):
        both_have_read.wait(60)
        return False

    with closing(SQLStore(postgres_url)) as store, ThreadPoolExecutor(2) as threads:
        store.queue_run(run(1, process=gone()))
        monkeypatch.setattr(queue_access, "this_process", lambda: next(servers))
        monkeypatch.setattr(queue_access, "is_alive", is_alive)
        adopted = list(threads.map(lambda _: store.adopt_queued("shop"), range(2)))
    assert sorted(len(each) for each in adopted) == [0, 1]


def test_keeping_the_queue(store):
    """Runs of this process get a new heartbeat; old runs that have ended are forgotten, queued ones are not."""
    store.queue_run(run(1, heartbeat=1.0, submitted=1.0))
    store.queue_run(run(2, heartbeat=1.0, submitted=1.0, process=gone()))
    store.queue_run(run(3, submitted=1.0, state=ENDED))
    store.queue_run(run(4, state=ENDED))
    store.keep_queue("shop", forget_before=10.0)
    assert store.find_queued("r1").heartbeat > 1.0
    assert store.find_queued("r2").heartbeat == 1.0
    assert [store.find_queued(name) is not None for name in ("r1", "r2", "r3", "r4")] == [True, True, False, True]
