"""A run that another thread cancels: no more nodes start, running ones are ended, and the runner stays usable."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from treadle import Catalog, DaskRunner, NodePolicy, Pipeline, SequentialRunner, node
from treadle.errors import NodeError, RunCancelledError
from treadle.events import NodeSkipped, NodeStarted, Outcome, RunFinished, WorkerStarted
from treadle.execution.executors.serial import SerialPool
from treadle.execution.loop.cancellation import Cancellation


def block(folder):
    """Wait until the file `gate` exists; a worker process that is not ended hangs the test."""
    tick = threading.Event()
    while not (Path(folder) / "gate").exists():
        tick.wait(0.01)
    return "passed"


def one(_anything):
    return 1


def fail(_anything):
    raise ValueError("this node fails first")


BLOCKED = Pipeline([node(block, "folder", "a", name="block"), node(one, "a", "b", name="after")])


class Watch:
    """An observer that cancels a run when its node `block` has started."""

    def __init__(self, cancellation, after=lambda: None):
        self.cancellation, self.after, self.events, self.started = cancellation, after, [], threading.Event()
        self.thread = threading.Thread(target=self._cancel)
        self.thread.start()

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, NodeStarted) and event.node == "block":
            self.started.set()

    def _cancel(self):
        assert self.started.wait(60)
        self.cancellation.request()
        self.after()


def cancelled(runner, folder, pipeline=BLOCKED, after=lambda: None, **options):
    """Run a pipeline that is cancelled while `block` runs; return the error, the events and how long the end took."""
    cancellation = Cancellation()
    watch = Watch(cancellation, after)
    with pytest.raises(RunCancelledError) as caught:
        runner.run(pipeline, Catalog({"folder": str(folder)}), observers=(watch,), cancellation=cancellation, **options)
    watch.thread.join()
    return caught.value, watch.events


def workers_of(runner):
    """Run a few nodes; return the process ids of the workers."""
    events = []
    nodes = [node(one, "x", f"y{each}", name=f"one{each}") for each in range(4)]
    result = runner.run(Pipeline(nodes), Catalog({"x": 0}), observers=(events.append,))
    assert dict(result) == {f"y{each}": 1 for each in range(4)}
    return {event.pid for event in events if isinstance(event, WorkerStarted)}


def test_a_running_node_is_ended_and_the_runner_stays_usable(way, any_runner, tmp_path):
    """Under every runner the run ends as interrupted; workers that did not run the node stay, and the next run works."""
    before = workers_of(any_runner)
    opens = (tmp_path / "gate").touch if way == "sequential" else lambda: None  # nothing can end a node of this thread
    error, events = cancelled(any_runner, tmp_path, after=opens)
    (tmp_path / "gate").touch()  # ends an abandoned thread
    assert "was cancelled" in str(error)
    assert error.abandoned == (("block",) if way == "thread" else ())
    assert [event.outcome for event in events if isinstance(event, RunFinished)] == [Outcome.INTERRUPTED]
    assert "after" in {event.node for event in events if isinstance(event, NodeSkipped)} or way == "thread"
    assert not [event for event in events if isinstance(event, NodeStarted) and event.node == "after"]
    after = workers_of(any_runner)
    assert before & after  # at least the worker that was idle


def test_a_request_before_the_run_starts_no_node(any_runner, tmp_path):
    """A run that is cancelled before it begins has no events, under every runner."""
    cancellation, events = Cancellation(), []
    cancellation.request()
    with pytest.raises(RunCancelledError):
        any_runner.run(BLOCKED, Catalog({"folder": str(tmp_path)}), observers=(events.append,), cancellation=cancellation)
    assert events == []


def test_a_request_after_the_run_has_no_effect(any_runner):
    """A run that has ended stays as it is, and the runner too."""
    cancellation = Cancellation()
    result = any_runner.run(Pipeline([node(one, "x", "y")]), Catalog({"x": 0}), cancellation=cancellation)
    cancellation.request()
    assert result["y"] == 1
    assert workers_of(any_runner)


def test_an_earlier_failure_is_the_cause(runner_for, tmp_path):
    """If a node failed before the run was cancelled, its error is attached; with on_failure=continue, others were running."""
    failing = Pipeline([*BLOCKED.nodes, node(fail, "folder", "never", name="fail")])
    with runner_for("loky") as runner:
        error, _events = cancelled(runner, tmp_path, failing, on_failure="continue")
    assert error.__cause__ is None or isinstance(error.__cause__, NodeError)


def test_queued_jobs_are_returned(runner_for, tmp_path):
    """Nodes that were queued behind the running one never start, and a thousand of them do not delay the end."""
    many = [node(one, "folder", f"n{each}", name=f"n{each}") for each in range(1000)]
    started = time.monotonic()
    with runner_for("loky", 1) as runner:
        _error, events = cancelled(runner, tmp_path, Pipeline([*BLOCKED.nodes, *many]))
    assert time.monotonic() - started < 60
    ended = {event.node for event in events if isinstance(event, (NodeStarted, NodeSkipped))}
    assert len(ended) == 1002


def test_a_node_of_the_main_process_ends_by_itself(runner_for, tmp_path):
    """A node that must run in the main process is waited for; nothing starts after it."""
    here = Pipeline(
        [node(block, "folder", "a", name="block", policy=NodePolicy(run_in="main")), node(one, "a", "b", name="after")]
    )
    with runner_for("loky") as runner:
        error, events = cancelled(runner, tmp_path, here, after=(tmp_path / "gate").touch)
    assert error.abandoned == ()
    assert "after" not in {event.node for event in events if isinstance(event, NodeStarted)}


def test_a_sequential_run_does_not_wait_for_the_next_attempt(monkeypatch):
    """A run that waits in its only thread until it may repeat a failed node is woken; the delay of a day would hang the test."""
    cancellation, waits = Cancellation(), threading.Event()
    wait = SerialPool.wait

    def noted_wait(pool, timeout=None):
        if timeout is not None and timeout > 60:
            waits.set()
        return wait(pool, timeout)

    monkeypatch.setattr(SerialPool, "wait", noted_wait)
    retried = Pipeline([node(fail, "x", "y", name="fail", policy=NodePolicy(retries=1, retry_delay="24h"))])
    errors = []

    def run():
        try:
            SequentialRunner().run(retried, Catalog({"x": 1}), cancellation=cancellation)
        except RunCancelledError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert waits.wait(60)
    cancellation.request()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [RunCancelledError]


def test_on_dask_the_worker_is_replaced(tmp_path):
    """On a dask cluster the worker that runs the node is replaced by its nanny."""
    with DaskRunner(max_workers=1) as runner:
        cancelled(runner, tmp_path)
        assert workers_of(runner)
