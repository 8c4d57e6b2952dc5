"""The queue of a server, without the server: what it stores, and what it does with runs that cannot be started."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import closing

import pandas as pd
import pytest

from treadle.errors import StoreError
from treadle.events import NodeStarted
from treadle.observe.store import SQLStore
from treadle.observe.store.liveness import this_process
from treadle.observe.store.queued_run import CANCELLED, ENDED, QUEUED, QueuedRun
from treadle.project import bootstrap_project, configure
from treadle.server import ServerOptions, access, events
from treadle.server.access import wait_for_end
from treadle.server.events import EventLogs
from treadle.server.models import NodeCounts, RunBody, RunView
from treadle.server.outputs import output_response
from treadle.server.page import _rendered
from treadle.server.problems import Problem
from treadle.server.queue import Accepted, RunQueue
from treadle.server.runs import Runs
from treadle.server.served import ServedRun
from treadle.server.streams import event_stream
from treadle.session import RunHandle, ServiceSession


@pytest.fixture
def store(tmp_path):
    """The store of a project."""
    with closing(SQLStore(project_path=tmp_path)) as made:
        yield made


@pytest.fixture
def runs(project_root, tmp_path, monkeypatch):
    """The runs of a server in this process, which has not begun to start them."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(configure._process, "project", None)
    root = project_root(tmp_path)
    monkeypatch.chdir(root)
    bootstrap_project(root)
    with ServiceSession.create(runner="sequential") as service:
        made = Runs(service, ServerOptions())
        yield made
        made.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "served"]:
        del sys.modules[name]


def ended(runs, run_id):
    """Wait for the end of a run; return its state."""
    event = threading.Event()
    runs.on_end(run_id, event.set)
    assert event.wait(60)
    return runs.view(run_id).state


def add(queue, key=None, **body):
    """Add a run to a queue; return its id."""
    return queue.add(RunBody(**body), resumes=None, key=key, retry_after=lambda: 1, accept=lambda _: None)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"api_token": "hunter2secret"}},
        {"params": {"nested": [{"password": "hunter2secret"}]}},
        {"params": {"source": "postgresql://me:hunter2secret@host/db"}},
    ],
)
def test_secrets_are_in_neither_the_request_nor_the_digest(store, body):
    """Secrets of params and inputs are stored masked, cannot be guessed from the digest, and are known to the run."""
    queue = RunQueue(store, "shop", 10)
    run_id = add(queue, "k", **body)
    stored = store.find_queued(run_id)
    assert "hunter2" not in stored.request
    assert stored.has_secrets
    guess = json.dumps([RunBody(**body).model_dump(mode="json"), None], sort_keys=True)
    assert stored.digest != hashlib.sha256(guess.encode()).hexdigest()
    assert queue.find(run_id).body == RunBody(**body)
    assert RunQueue(store, "shop", 10).find(run_id) is None
    assert add(queue, "k", **body) == run_id
    other = json.loads(json.dumps(body).replace("hunter2secret", "another-one"))
    with pytest.raises(Problem, match="for another request"):
        add(queue, "k", **other)
    queue.end(run_id, ENDED, has_succeeded=True)  # the secret itself is forgotten
    assert queue.find(run_id) is None
    assert add(queue, "k", **body) == run_id
    with pytest.raises(Problem, match="for another request"):
        add(queue, "k", **other)
    assert add(RunQueue(store, "shop", 10), "k", **other) == run_id  # no other server can compare secrets


def test_the_secrets_of_old_runs_are_forgotten(store, monkeypatch):
    """The secrets of a run that failed are kept while it can be resumed, and those of a waiting run in any case."""
    queue = RunQueue(store, "shop", 10)
    failed, waiting = (add(queue, params={"password": f"hunter2{name}"}) for name in ("failed", "waiting"))
    queue.pop(failed)
    queue.end(failed, ENDED, has_succeeded=False)
    queue.keep()
    assert queue.find(failed) is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
    queue.keep()
    assert queue.find(failed) is None
    assert queue.find(waiting) is not None


def test_several_threads_note_ends_at_the_same_time(tmp_path):
    """Each notes those that it has taken, if another thread takes the rest meanwhile."""

    class Contested(deque):
        def popleft(self):
            first = super().popleft()
            self.clear()  # another thread has taken the rest
            return first

    store = SQLStore(project_path=tmp_path)
    queue = RunQueue(store, "shop", 10)
    first, second = add(queue), add(queue)
    queue._ended = Contested([(first, "ended", False), (second, "ended", False)])
    queue.keep()
    assert store.find_queued(first).state == "ended"
    queue.finish()


def test_ends_that_the_store_refuses_are_noted_later(tmp_path):
    """A run that has ended is not started again, whenever the store could be written."""
    store = SQLStore(project_path=tmp_path, busy_timeout=0.05)
    queue = RunQueue(store, "shop", 10)
    states = {"succeeded": "ended", "failed": "ended", "cancelled": "cancelled"}
    run_ids = {each: add(queue) for each in states}
    for run_id in run_ids.values():
        queue.pop(run_id)
    with closing(sqlite3.connect(tmp_path / ".treadle/sessions.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        queue.end(run_ids["succeeded"], ENDED, has_succeeded=True)
        for each in ("failed", "cancelled"):
            with pytest.raises(StoreError, match="locked"):
                queue.end(run_ids[each], states[each], has_succeeded=False)
        with pytest.raises(StoreError, match="locked"):
            queue.keep()
        other.rollback()
    queue.keep()
    assert {each: store.find_queued(run_id).state for each, run_id in run_ids.items()} == states
    assert [bool(store.find_queued(run_ids[each]).request) for each in states] == [False, True, True]
    queue.finish()


def test_a_request_without_secrets_is_known_to_the_next_server(store):
    """Another server that shares the store knows what was asked for, and that a key belongs to another request."""
    run_id = add(RunQueue(store, "shop", 10), "k", params={"password": None, "n": 1}, inputs={"given": [1, 2]})
    second = RunQueue(store, "shop", 10)
    assert second.find(run_id).body.inputs == {"given": [1, 2]}
    assert add(second, "k", params={"password": None, "n": 1}, inputs={"given": [1, 2]}) == run_id
    with pytest.raises(Problem, match="for another request"):
        add(second, "k", params={"password": None, "n": 2}, inputs={"given": [1, 2]})


def left_by_another_server(run_id, request):
    """Make a run that a process which has ended had accepted."""
    here = this_process()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = here._replace(pid=process.pid)
    return QueuedRun(run_id, "served", 1.0, QUEUED, json.dumps(request), "d", False, None, gone, 1.0)


def test_a_stored_request_that_is_refused_does_not_block_the_queue(runs, tmp_path):
    """A request that another version stored is lost, its waiters are told, and the runs behind it run."""
    requests = [{"body": {"field_of_another_version": 1}, "resumes": None}, {"body": {}}, {"body": {}, "resumes": None}]
    with closing(SQLStore(project_path=tmp_path)) as store:
        for number, request in enumerate(requests):
            store.queue_run(left_by_another_server(f"2026-01-01T00.00.00.00{number}Z-aaaaaaaa", request))
    waiting, lost = runs.queue.adopt(lambda _: None)
    assert (len(waiting), lost) == (3, [])
    told = [threading.Event() for _ in waiting]
    for run_id, event in zip(waiting, told, strict=True):
        runs.on_end(run_id, event.set)
    runs.start()
    assert [event.wait(60) for event in told] == [True] * 3
    assert [runs.view(run_id).state for run_id in waiting] == ["lost", "lost", "succeeded"]


def test_a_run_that_the_service_refuses_is_lost(runs):
    """A run that cannot be started does not stay queued, and who waits for it is told."""
    run_id = runs.submit(RunBody())
    event = threading.Event()
    runs.on_end(run_id, event.set)
    runs._service.close()
    runs.start()
    assert event.wait(60)
    assert runs.view(run_id).state == "lost"
    assert runs.queue.find_stored(run_id).state != QUEUED


def test_a_run_that_is_lost_before_it_starts_is_listed(runs, tmp_path):
    """Its secrets were known only to a server that is gone: it is listed with its state, and not forgotten."""
    left = left_by_another_server("2026-01-01T00.00.00.000Z-aaaaaaaa", {"body": {}, "resumes": None})
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.queue_run(left._replace(has_secrets=True))
    runs.start()
    assert runs.view(left.run_id).state == "lost"
    assert [(each.id, each.state) for each in runs.views(10)] == [(left.run_id, "lost")]


def test_a_run_whose_record_was_removed_is_unknown(runs, tmp_path):
    """It succeeded, and its session was pruned: nothing says how it ended, so it is not called lost."""
    run_id = runs.submit(RunBody(to_nodes=["note"], pipelines=["mended"]))
    runs.start()
    assert ended(runs, run_id) == "succeeded"
    runs._recent.clear()
    with closing(SQLStore(project_path=tmp_path)) as store:
        assert store.prune(keep=0) == (run_id,)
    runs.queue.keep()
    with pytest.raises(Problem, match="There is no run"):
        runs.view(run_id)
    assert runs.views(10) == []


def test_a_store_that_is_removed_is_made_anew(runs, tmp_path, caplog):
    """Someone deletes the folder of the records while the server goes on: the next run is recorded, and has its events."""
    runs.start()
    shutil.rmtree(tmp_path / ".treadle")
    run_id = runs.submit(RunBody(to_nodes=["note"], pipelines=["mended"]))
    assert ended(runs, run_id) == "succeeded"
    runs.drain()
    runs.events.close()
    assert [each.id for each in runs.views(10)] == [run_id]
    with closing(SQLStore(project_path=tmp_path)) as store:
        assert [each.session_id for each in store.list()] == [run_id]
    assert runs.events.has_ended(run_id)
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []


def test_a_failure_is_logged_in_one_line(runs, caplog):
    """Who looks at the log of the server sees which run failed, and why; no secret is in it."""
    run_id = runs.submit(RunBody(pipelines=["mended"]))
    runs.start()
    assert ended(runs, run_id) == "failed"
    runs.drain()  # the client is answered before the line is logged
    (line,) = [each.getMessage() for each in caplog.records if each.name == "treadle.server.served"]
    assert line.startswith(f"The run {run_id} failed: Node 'mend' failed")
    assert "ValueError" in line
    assert "hunter22" not in line


def test_a_run_that_the_service_is_about_to_start_is_running():
    """It has a start and no position, so it is not called queued."""
    accepted = Accepted("r1", RunBody(), None, 1.0)
    served = ServedRun(accepted, RunHandle("r1", lambda handle: None), 2.0)
    assert served.state == "running"
    assert served.handle.cancel()
    assert served.state == "interrupted"


def test_the_page_counts_the_seconds_of_runs_that_go_on():
    """A lost run has no end, but its time does not go on."""
    view = RunView(id="r1", state="lost", pipelines=[], started=1.0, nodes=NodeCounts())
    for state, shown in (("lost", '<td class="number"></td>'), ("running", '<td class="number">1')):
        (row,) = _rendered("rows.html", runs=[view.model_copy(update={"state": state})]).body.decode().split("</tr>")[:-1]
        assert shown in row.partition("</time>")[2]
    later = view.model_copy(update={"state": "running", "started": time.time() + 3600})  # the clock was set back
    assert '<td class="number">0.0</td>' in _rendered("rows.html", runs=[later]).body.decode()


def test_many_events_are_sent_in_few_packets(tmp_path):
    """A client that reads the events of a long run at once gets them in order, a hundred at a time, until the last one."""
    logs = EventLogs(tmp_path)
    logs.begin("r1")
    for number in range(250):
        logs.observer("r1")(NodeStarted(f"n{number}", "main", 1, 1.0))
    logs.end("r1", state="succeeded")
    logs.close()

    async def read(after):
        return [packet async for packet in event_stream(logs, "r1", after, 60)]

    packets = asyncio.run(read(0))
    assert len(packets) == 3
    ids = [int(line.removeprefix("id: ")) for line in "".join(packets).splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, 253))
    assert "".join(packets).endswith("\n\n")
    assert asyncio.run(read(252)) == []


def test_a_store_that_fails_does_not_lose_the_run(runs, monkeypatch):
    """After an error of the store the server waits a moment, and starts the run then."""
    run_id = runs.submit(RunBody(inputs={"unused": "x" * (1 << 14)}, pipelines=["mended"]))  # too long to be kept in memory
    find, pauses = runs.queue.find, []

    def fail_once(run_id):
        if not pauses:
            raise StoreError("the database is locked")
        return find(run_id)

    monkeypatch.setattr(runs.queue, "find", fail_once)
    monkeypatch.setattr(runs.queue, "wait_for_close", pauses.append)
    runs.start()
    assert ended(runs, run_id) == "failed"
    assert pauses == [1.0]


def test_no_run_starts_once_the_end_has_begun(runs, monkeypatch):
    """A run that was about to start when the server began to end stays queued, so that the end need not wait for it."""
    run_id = runs.submit(RunBody())
    reached, start = threading.Event(), runs._run

    def begin_late(*arguments):
        reached.set()
        runs.queue.wait_for_close(60)
        start(*arguments)

    monkeypatch.setattr(runs, "_run", begin_late)
    runs.start()
    assert reached.wait(60)
    runs.drain()
    assert runs.view(run_id).state == "queued"


def test_a_broken_line_in_a_file_of_events_is_left_out(tmp_path):
    """What a killed server wrote of its last line hides no other event, and the next event begins a line of its own."""
    file = tmp_path / "r1.jsonl"
    file.write_bytes(b'{"id": 1, "type": "run_queued"}\n{"id": 2, "ty\n[]\n\xff\n{"id": 2, "type": "run_sta')
    logs = EventLogs(tmp_path)
    assert not logs.has_ended("r1")
    logs.end("r1", state="lost")
    logs.close()
    assert logs.has_ended("r1")
    assert [(facts["id"], facts["type"]) for _line, facts in logs.read("r1").events()] == [(1, "run_queued"), (2, "run_ended")]


@pytest.fixture
def shortest_files():
    """`shortest_files(size)`: from now on no file may be longer, as on a disk that is full; None ends that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, before if size is None else (size, before[1]))

    yield limit
    limit(None)


def test_events_that_cannot_be_written_are_written_later(tmp_path, shortest_files, caplog):
    """The disk is full in the middle of a line: when there is room again, all events follow, each once; one message says so."""
    logs, woken = EventLogs(tmp_path / "events"), threading.Event()
    logs.begin("r1")
    logs.end_streams()
    shortest_files(200)  # in the third line
    for number in range(10):
        logs.observer("r1")(NodeStarted(f"n{number}", "main", 1, 1.0))
    logs.end("r1", state="succeeded")
    logs.end_streams()
    assert 1 <= len(list(logs.read("r1").events())) <= 2
    assert logs.exists("r1")
    logs.subscribe("r1", woken.set)
    shortest_files(None)
    assert woken.wait(60)  # nothing else happens
    assert [facts["id"] for _line, facts in logs.read("r1").events()] == list(range(1, 13))
    assert logs.has_ended("r1")
    logs.close()
    (message,) = [each.getMessage() for each in caplog.records]
    assert "r1 cannot be written" in message


def test_events_that_can_never_be_written_take_little_memory(tmp_path, monkeypatch, caplog):
    """Of the runs that have waited longest only the end is kept; what is lost when the server ends is logged."""
    monkeypatch.setattr(events, "_MOST_UNWRITTEN", 5)
    folder = tmp_path / "events"
    logs = EventLogs(folder)
    folder.rmdir()
    folder.touch()
    for run_id in ("r1", "r2", "r3"):
        logs.begin(run_id)
        logs.observer(run_id)(NodeStarted("n", "main", 1, 1.0))
        logs.end(run_id, state="succeeded")
        logs.end_streams()
    assert {run_id: len(facts) for run_id, facts in logs._unwritten.items()} == {"r1": 1, "r2": 1, "r3": 3}
    folder.unlink()
    logs.close()
    assert [logs.has_ended(run_id) for run_id in ("r1", "r2", "r3")] == [True] * 3
    assert sum("given up" in each.getMessage() for each in caplog.records) == 2


def test_a_server_that_ends_answers_who_waits_for_queued_runs(runs):
    """It will not run them: requests that wait get the run as it is, streams of events end, and so do later ones."""
    run_id = runs.submit(RunBody())

    async def follow():
        return "".join([packet async for packet in event_stream(runs.events, run_id, 0, 60)])

    async def wait():
        waiting, following = asyncio.ensure_future(wait_for_end(runs, run_id, 60)), asyncio.ensure_future(follow())
        await asyncio.sleep(0)  # both begin to wait
        await asyncio.to_thread(runs.drain)  # also if the server has not begun to run anything
        return await waiting, await following, await wait_for_end(runs, run_id, 60), await follow()

    view, text, *later = asyncio.run(wait())
    runs.drain()  # once more has no effect
    runs.close()
    runs.drain()
    assert (view.state, view.position) == ("queued", 0)
    assert (text.count("event: "), text.count("event: run_queued")) == (1, 1)
    assert later == [view, text]


def test_a_cancelled_run_has_ended_although_the_store_fails(runs, monkeypatch):
    """Who waits for it is answered, its events end, and it is called cancelled; the store is written later."""
    run_id, told = runs.submit(RunBody()), threading.Event()
    runs.on_end(run_id, told.set)

    def fail(*_arguments, **_options):
        raise StoreError("the database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(runs.queue._store, "end_queued", fail)
        with pytest.raises(StoreError, match="locked"):
            runs.cancel(run_id)
    assert told.is_set()
    assert [runs.view(run_id).state, runs.cancel(run_id).state] == ["cancelled"] * 2
    assert [(each.id, each.state) for each in runs.views(10)] == [(run_id, "cancelled")]
    assert b'ended_total{state="cancelled"} 1.0' in runs.metrics.text()
    runs.queue.keep()
    with closing(SQLStore(project_path=runs._service.facts.project_path)) as store:
        assert store.find_queued(run_id).state == CANCELLED
    runs.close()
    assert runs.events.has_ended(run_id)


def test_a_run_that_two_clients_cancel_is_cancelled_for_both(runs, monkeypatch):
    """The second request arrives before the first one has noted the end in the store."""
    run_id, end, seen = runs.submit(RunBody()), runs.queue.end, []

    def end_later(*arguments, **options):
        seen.append(runs.cancel(run_id).state)
        end(*arguments, **options)

    monkeypatch.setattr(runs.queue, "end", end_later)
    assert runs.cancel(run_id).state == "cancelled"
    assert seen == ["cancelled"]


def test_an_adopted_run_has_its_first_event(runs, tmp_path):
    """A server was killed after it had stored a run and before it had written an event: the next one writes it."""
    left = left_by_another_server("2026-01-01T00.00.00.000Z-aaaaaaaa", {"body": {}, "resumes": None})
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.queue_run(left)
    runs.start()
    assert ended(runs, left.run_id) == "succeeded"
    runs.close()
    types = [facts["type"] for _line, facts in runs.events.read(left.run_id).events()]
    assert (types[0], types[-1]) == ("run_queued", "run_ended")


def test_the_list_has_the_same_numbers_as_the_run(runs):
    """Also of a run whose handle the server has no more: nodes that were skipped are nodes of the run."""
    run_id = runs.submit(RunBody(params={"factor": {}}))  # the first of six nodes fails
    runs.start()
    assert ended(runs, run_id) == "failed"
    runs._recent.clear()
    shown, (listed,) = runs.view(run_id).nodes, runs.views(10)
    assert (shown.total, shown.skipped) == (listed.nodes.total, listed.nodes.skipped) == (6, 5)


def test_values_that_cannot_be_written_are_no_defect_of_the_server():
    """Tables that Parquet has no type for, and strings that are no text, are answered with 406."""
    values = {"table": (pd.DataFrame({"a": [1j]}), "parquet"), "text": ("\ud800", None), "json": ("\ud800", "json")}
    for name, (value, wanted) in values.items():
        with pytest.raises(Problem) as caught:
            output_response({name: value}, name, wanted, debug=False)
        assert caught.value.status == 406


def test_a_run_of_another_process_cannot_be_cancelled(runs, tmp_path):
    """Who cancels a run that waits in another server is told so."""
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.queue_run(left_by_another_server("r1", {"body": {}, "resumes": None})._replace(process=this_process()))
    with pytest.raises(Problem, match="queued in another process") as caught:
        runs.cancel("r1")
    assert caught.value.status == 409


def test_a_request_waits_for_a_run_of_another_process(runs, tmp_path, monkeypatch):
    """It asks the store again until the run has ended there, or its process has."""
    with closing(SQLStore(project_path=tmp_path)) as store:
        here = left_by_another_server("r1", {"body": {}, "resumes": None})._replace(process=this_process())
        store.queue_run(here)
        store.queue_run(left_by_another_server("r2", {"body": {}, "resumes": None})._replace(has_secrets=True))
        pauses = []

        async def end_it(seconds):
            pauses.append(seconds)
            if len(pauses) == 2:
                store.end_queued(["r1"], CANCELLED, keeps_request=True)

        monkeypatch.setattr(access.asyncio, "sleep", end_it)
        assert asyncio.run(wait_for_end(runs, "r1", 60)).state == "cancelled"
        assert pauses == [0.1, 0.2]
        assert asyncio.run(wait_for_end(runs, "r2", 60)).state == "lost"


def test_what_a_killed_server_left_waits_for_the_one_that_adopts_it(runs, tmp_path):
    """Until then it is queued, in the list too, and a request waits for its end; only a run whose secrets are gone is lost."""
    left = [
        left_by_another_server(f"2026-01-01T00.00.00.00{number}Z-aaaaaaaa", {"body": {}, "resumes": None}) for number in (1, 2)
    ]
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.queue_run(left[0])
        store.queue_run(left[1]._replace(has_secrets=True))
    states = {left[0].run_id: "queued", left[1].run_id: "lost"}
    assert {each.id: each.state for each in runs.views(10)} == {run_id: runs.view(run_id).state for run_id in states} == states

    async def wait():
        waiting = asyncio.ensure_future(wait_for_end(runs, left[0].run_id, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(runs.start)
        return await waiting

    assert asyncio.run(wait()).state == "succeeded"


def test_the_running_run_is_listed_whatever_is_queued(runs, tmp_path):
    """A list of the newest runs has it in the last place, and the page shows it, while many runs wait behind it."""
    running = runs.submit(RunBody(pipelines=["blocked"]))
    queued = [runs.submit(RunBody()) for _ in range(3)]
    runs.start()
    while not (tmp_path / "started").exists():
        runs.queue.wait_for_close(0.01)
    try:
        assert [each.id for each in runs.views(2)] == [queued[2], running]
        assert [each.id for each in runs.views(1)] == [running]
        assert [each.id for each in runs.views(4)] == [*reversed(queued), running]
    finally:
        (tmp_path / "gate").touch()
    assert ended(runs, queued[2]) == "succeeded"
    assert [each.id for each in runs.views(2)] == [queued[2], queued[1]]


def test_the_queue_of_another_project_is_not_shown(runs, tmp_path):
    """A run that waits for a server of another package in the same store is unknown here, and cannot be resumed."""
    left = left_by_another_server("2026-01-01T00.00.00.000Z-aaaaaaaa", {"body": {"pipelines": ["secret_plans"]}, "resumes": None})
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.queue_run(left._replace(package_name="other"))
    for ask in (runs.view, runs.resume, runs.cancel):
        with pytest.raises(Problem, match="There is no run"):
            ask(left.run_id)


def test_runs_of_other_projects_are_not_listed(runs, tmp_path):
    """A store may have the runs of several packages; a server lists those of its own."""
    run_id = runs.submit(RunBody())
    runs.start()
    assert ended(runs, run_id) == "succeeded"
    with closing(SQLStore(project_path=tmp_path)) as store:
        store.save(store.load(run_id)._replace(session_id=f"{run_id}-other", package_name="other"))
        assert len(store.list()) == 2
    assert [each.id for each in runs.views(10)] == [run_id]
    with pytest.raises(Problem, match="no run"):
        runs.view(f"{run_id}-other")
