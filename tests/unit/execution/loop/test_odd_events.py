"""The loop with events that real workers rarely send, from a scripted executor without processes."""

from __future__ import annotations

import pickle

import pytest

from treadle import Catalog, MemoryDataset, NodePolicy, Pipeline, node
from treadle.errors import WorkerSetupError
from treadle.events import NodeFailed, NodeFinished, NodeStarted, WorkerStarted
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.messages import ClusterValue
from treadle.execution.executors.events import Report, WorkerDown, WorkerUp
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.inline_store import InlineStore
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.loop.loop import RunLoop
from treadle.execution.loop.observers import Observers
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import Cancel, Failed, Finished, Job, JobsReturned, Started
from treadle.planning import compile_plan
from treadle.testing import scripted_executor

UP = WorkerUp(1, 11, 0)
DOWN = WorkerDown(1, 11, 3, None, None, 0)


def finished(index):
    return Report(1, Finished(1, index, 1.0, 2.0, 0.0, 1.0, 0.0))


def run(*script):
    """Run two independent nodes without outputs with a script; return the pool and the events that observers received."""
    seen = []
    plan = compile_plan(Pipeline([node(lambda p: None, "p", None, name=name) for name in ("one", "two")]), Catalog({"p": 1}))
    executor, pool = scripted_executor(*script)
    RunLoop(RunBundle("run", plan, Catalog({"p": 1}), None), executor, Observers([seen.append])).run()
    return pool, seen


def jobs(pool):
    return [each.nodes for _worker, each in pool.sent if isinstance(each, Job)]


def sent_nodes(pool):
    return [index for nodes in jobs(pool) for index in nodes]


def names(seen, kind):
    return [event.node for event in seen if isinstance(event, kind)]


def test_a_start_that_is_reported_late_is_not_announced_twice():
    """A Started that arrives after the node's Finished has no effect."""
    _pool, seen = run([UP], [finished(0), Report(1, Started(1, 0, 1.0))], [finished(1)])
    assert names(seen, NodeStarted) == names(seen, NodeFinished) == ["one", "two"]


def test_workers_that_die_as_soon_as_they_are_set_up_end_the_run():
    """None of them got a node, so no node is at fault, and the next process would die, too."""
    dying = [UP, DOWN]
    with pytest.raises(WorkerSetupError, match=r"exited with code 3 after it .* So did the 9 processes before it") as caught:
        run(*[dying] * 20)
    assert caught.value.run_id == "run"


def test_workers_that_die_idle_now_and_then_end_no_run():
    """A node finishes between their deaths, or runs meanwhile in another worker."""
    dying = [UP, DOWN]
    run(*[dying] * 8, [UP], [finished(0), DOWN], *[dying] * 8, [UP], [finished(1)])
    other = WorkerUp(2, 12, 0)
    ended = [Report(2, Finished(2, index, 1.0, 2.0, 0.0, 1.0, 0.0)) for index in (0, 1)]
    run([other], *[dying] * 15, ended[:1], ended[1:])


def test_an_interrupt_between_a_start_and_its_end_repeats_no_event(monkeypatch):
    """If Ctrl-C comes after the start of a node was reported and before its end is, only the end is reported afterwards."""
    seen, plan = [], compile_plan(Pipeline([node(lambda p: None, "p", None, name="one")]), Catalog({"p": 1}))
    executor, _pool = scripted_executor([UP], [finished(0)], [], [])
    loop = RunLoop(RunBundle("run", plan, Catalog({"p": 1}), None), executor, Observers([seen.append]))
    label, calls = executor.label, []

    def interrupted_label(worker):
        calls.append(worker)
        if len(calls) == 3:  # after the start of the worker and that of the node
            raise KeyboardInterrupt
        return label(worker)

    monkeypatch.setattr(executor, "label", interrupted_label)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    monkeypatch.undo()
    monkeypatch.setattr(executor, "last_events", lambda _waiting: [])
    loop.report_interrupted()
    assert names(seen, NodeStarted) == names(seen, NodeFinished) == ["one"]
    assert all(event.dispatch is not None for event in seen if isinstance(event, NodeFinished))


def test_nothing_starts_after_an_interrupt(monkeypatch):
    """If Ctrl-C comes while an input is loaded, a node that has finished is reported; no other input is loaded, no job sent."""
    loaded = []

    class Interrupted(MemoryDataset):
        def load(self):
            loaded.append("first")
            raise KeyboardInterrupt

    class Second(MemoryDataset):
        def load(self):
            loaded.append("second")
            return 1

    catalog, seen = Catalog({"first": Interrupted(1), "second": Second(1)}), []
    inputs = {"one": None, "two": "first", "three": "second", "four": None}
    plan = compile_plan(Pipeline([node(lambda *_: None, each, None, name=name) for name, each in inputs.items()]), catalog)
    executor, pool = scripted_executor([WorkerUp(number, 10 + number, 0) for number in range(1, 5)])
    loop = RunLoop(RunBundle("run", plan, catalog, None), executor, Observers([seen.append]))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    monkeypatch.setattr(executor, "last_events", lambda _waiting: [finished(0)])
    loop.report_interrupted()
    assert names(seen, NodeFinished) == ["one"]
    assert loaded == ["first"]
    assert jobs(pool) == [(0,)]


def test_an_interrupt_does_not_repeat_what_was_handled_before(monkeypatch):
    """The last events repeat those of the last `wait`: a node among them is reported once as started and once as finished."""
    plan = compile_plan(Pipeline([node(lambda: None, None, None, name=name) for name in ("one", "two")]), Catalog())
    handled, seen = [Report(1, Started(1, 0, 1.0)), finished(0)], []
    executor, pool = scripted_executor([UP], handled)
    loop = RunLoop(RunBundle("run", plan, Catalog(), None), executor, Observers([seen.append]))
    receive = pool.wait

    def wait_or_interrupt(timeout=None):
        if names(seen, NodeFinished):
            raise KeyboardInterrupt
        return receive(timeout)

    monkeypatch.setattr(pool, "wait", wait_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    monkeypatch.setattr(executor, "last_events", lambda _waiting: handled)
    loop.report_interrupted()
    assert names(seen, NodeStarted) == names(seen, NodeFinished) == ["one"]


def test_an_interrupt_does_not_repeat_a_start_for_the_next_attempt(monkeypatch):
    """If Ctrl-C comes after a node was sent to the same worker again, the start of its failed attempt is not reported again."""
    plan = compile_plan(Pipeline([node(lambda: None, None, None, name="one", policy=NodePolicy(retries=1))]), Catalog())
    failed = Failed(1, 0, 1.0, 2.0, record_failure(ValueError(), phase="run"))
    executor, pool = scripted_executor([UP], [Report(1, Started(1, 0, 1.0)), Report(1, failed)])
    wait, seen = pool.wait, []

    def wait_or_interrupt(timeout=None):
        if len(pool.sent) == 2:
            raise KeyboardInterrupt
        return wait(timeout)

    monkeypatch.setattr(pool, "wait", wait_or_interrupt)
    loop = RunLoop(RunBundle("run", plan, Catalog(), None), executor, Observers([seen.append]))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    monkeypatch.setattr(executor, "last_events", lambda _waiting: [])
    loop.report_interrupted()
    assert [(event.attempt, event.at) for event in seen if isinstance(event, NodeStarted)] == [(1, 1.0)]
    assert names(seen, NodeFailed) == ["one"]


@pytest.mark.parametrize("place", ["executor.label", "executor.release", "scheduler.finish_all", "scheduler._parents_done"])
@pytest.mark.parametrize("call", [1, 2, 5, 9])
def test_an_interrupt_among_nodes_that_finished_together_loses_and_repeats_none(monkeypatch, place, call):
    """Wherever Ctrl-C comes while a batch is handled, each of its nodes is reported once, in order."""
    wired = [node(lambda p: None, "p", None, name=f"n{index}") for index in range(9)]
    seen, plan = [], compile_plan(Pipeline(wired), Catalog({"p": 1}))
    executor, pool = scripted_executor()
    loop = RunLoop(RunBundle("run", plan, Catalog({"p": 1}), None), executor, Observers([seen.append]))
    reported, calls = [], []

    def report_all(_timeout=None):
        if not pool.sent:
            return [UP]
        batch = [index for index in sent_nodes(pool) if index not in reported]
        reported.extend(batch)
        if not batch:
            raise KeyboardInterrupt
        return [Report(1, Finished(1, index, 1.0, 1.000001, 0.0, 0.0, 0.0)) for index in batch]

    owner = executor if place.startswith("executor") else loop._scheduler
    original = getattr(owner, place.partition(".")[2])

    def interrupted(*arguments):
        if reported:
            calls.append(arguments)
            if len(calls) == call:
                raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(pool, "wait", report_all)
    monkeypatch.setattr(owner, place.partition(".")[2], interrupted)
    try:
        loop.run()
    except KeyboardInterrupt:
        monkeypatch.setattr(executor, "last_events", lambda _waiting: [])
        loop.report_interrupted()
    expected = [plan.nodes[index].name for index in reported]
    assert names(seen, NodeStarted) == names(seen, NodeFinished) == expected
    assert list(loop.seconds) == expected


def test_an_interrupt_cancels_the_queued_nodes(monkeypatch):
    """Before the last events are read: a node that started after them would have run without being reported."""
    plan = compile_plan(Pipeline([node(lambda: None, None, None, name=f"n{index}") for index in range(9)]), Catalog())
    executor, pool = scripted_executor()
    loop = RunLoop(RunBundle("run", plan, Catalog(), None), executor, Observers([]))

    def report_one(_timeout=None):
        if not pool.sent:
            return [UP]
        if sent_nodes(pool) != [0]:
            raise KeyboardInterrupt
        return [Report(1, Finished(1, 0, 1.0, 1.000001, 0.0, 0.0, 0.0))]

    monkeypatch.setattr(pool, "wait", report_one)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert len(loop._scheduler.assigned(1)) > 1
    sent_last = []
    monkeypatch.setattr(executor, "last_events", lambda waiting: sent_last.append((pool.sent[-1], list(waiting))) or [])
    loop.report_interrupted()
    assert sent_last == [((1, Cancel(1)), [1])]


def test_returned_jobs_are_sent_again():
    """Jobs that a worker returns unstarted are submitted again."""
    pool, seen = run([UP], [Report(1, JobsReturned(1, (0,)))], [finished(0)], [finished(1)])
    assert sorted(jobs(pool)) == [(0,), (0,), (1,)]
    assert sorted(names(seen, NodeFinished)) == ["one", "two"]


def test_an_idle_worker_that_is_lost_is_replaced_and_gets_its_jobs_again():
    """If a worker dies before it starts a node, the node loses no attempt, and the new worker gets the job."""
    pool, seen = run([UP], [WorkerDown(1, 11, -9, None, None, 0)], [UP], [finished(0)], [finished(1)])
    assert pool.restarted == [1]
    assert sorted(jobs(pool)) == [(0,), (0,), (1,)]
    assert sum(isinstance(event, WorkerStarted) for event in seen) == 2
    assert sorted(names(seen, NodeFinished)) == ["one", "two"]


def test_a_script_that_is_too_short_is_an_error():
    """If the loop waits for more events than the script has, the test fails and shows the sent commands."""
    with pytest.raises(AssertionError, match="the script has ended"):
        run([UP], [finished(0)])


def test_a_large_batch_that_ends_with_the_loss_of_a_worker(monkeypatch):
    """Jobs that are sent before the loss is handled find the values of the lost worker: they are forgotten when it is handled."""
    store, warm, parents = InlineStore(), [f"w{each}" for each in range(100)], [f"t{each}" for each in range(60)]
    wired = [*((name, "p") for name in ("kept", *warm)), ("gate", warm), *((name, "gate") for name in parents)]
    wired += [(f"{name}-{each}", ["kept", name]) for name in parents for each in range(2)]
    nodes = [node(lambda *_: 1, inputs, name, name=name) for name, inputs in wired]
    plan = compile_plan(Pipeline(nodes), Catalog({"p": 1}))
    capabilities = Capabilities(processes=True, can_kill=False, queues=True, sets_up_project=False)
    _executor, pool = scripted_executor(capabilities=capabilities)
    lost, submitted = [], []

    def report_all(_timeout=None):
        if not pool.sent:
            return [UP, WorkerUp(2, 12, 0)]
        if lost:
            raise KeyboardInterrupt
        sent = [(worker, index) for worker, job in pool.sent if isinstance(job, Job) for index in job.nodes]
        events = []
        for worker, index in sent[len(submitted) :]:
            submitted.append(index)
            name = plan.nodes[index].name
            value = ClusterValue(worker, 1, "", "") if name == "kept" else Inline(pickle.dumps(1), ())
            dataset = next(place for place, each in enumerate(plan.datasets) if each.name == name)
            events.append(Report(worker, Finished(1, index, 1.0, 1.000001, 0.0, 0.0, 0.0, ((dataset, value),))))
        if "t59" in [plan.nodes[event.fact.node].name for event in events]:
            assert len(events) > 32
            lost.extend(handle.worker for handle in store._handles.values() if handle.worker is not None)
            events.append(WorkerDown(lost[0], 10 + lost[0], -9, None, None, 0))
        return events

    monkeypatch.setattr(pool, "wait", report_all)
    with pytest.raises(KeyboardInterrupt):
        RunLoop(RunBundle("run", plan, Catalog({"p": 1}), None), Executor(pool, store), Observers([])).run()
    assert pool.restarted == lost != []


def test_a_worker_gets_jobs_while_a_large_batch_of_events_is_handled(monkeypatch):
    """The jobs that replace the first finished nodes of a batch are sent before the rest of the batch is handled."""
    nodes = [node(lambda p: None, "p", None, name=f"n{index}") for index in range(500)]
    plan = compile_plan(Pipeline(nodes), Catalog({"p": 1}))
    executor, pool = scripted_executor([UP])
    sent_at_flush, reported = [], []

    def report_a_batch(_timeout=None):
        if not pool.sent:
            return [UP]
        batch = sent_nodes(pool)[len(reported) :][:100]
        reported.extend(batch)
        return [Report(1, Finished(1, index, 1.0, 1.000001, 0.0, 0.0, 0.0)) for index in batch]

    monkeypatch.setattr(pool, "wait", report_a_batch)
    monkeypatch.setattr(pool, "flush", lambda: sent_at_flush.append((len(sent_nodes(pool)), len(reported))))
    RunLoop(RunBundle("run", plan, Catalog({"p": 1}), None), executor, Observers([])).run()
    assert sorted(reported) == list(range(500))
    first_batch = [sent for sent, ended in sent_at_flush if ended == 101]
    assert first_batch == [1 + 256 + each for each in (32, 64, 96)]
