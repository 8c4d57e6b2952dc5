"""The start of a node in this process: reported only if an observer receives it, and always known."""

from __future__ import annotations

import threading

import pytest

from treadle import Catalog, Pipeline, SequentialRunner, ThreadRunner, node
from treadle.events import NodeFinished, NodeStarted
from treadle.execution.executors.serial import serial_executor
from treadle.execution.executors.threads import thread_executor
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.messages import MAIN, Finished, Started
from treadle.execution.scheduling.instructions import RunJob
from treadle.planning import compile_plan

EXECUTORS = {"serial": (serial_executor, MAIN), "threads": (lambda: thread_executor(1), 1)}


def begun(executor, function, **options):
    """Begin a run of one node."""
    catalog = Catalog()
    executor.begin(RunBundle("run", compile_plan(Pipeline([node(function, None, "made")]), catalog), catalog, None, **options))


def facts_until_finished(executor):
    seen = []
    while not seen or seen[-1] is not Finished:
        seen += [type(fact) for event in executor.wait(60) if (fact := getattr(event, "fact", None)) is not None]
    return seen


@pytest.mark.parametrize(("make", "worker"), EXECUTORS.values(), ids=EXECUTORS)
@pytest.mark.parametrize(("options", "kinds"), [({}, [Started, Finished]), ({"reports_starts": False}, [Finished])])
def test_starts_are_reported_if_the_run_needs_them(make, worker, options, kinds):
    """Without an observer that receives them, a worker reports only the ends of nodes."""
    executor = make()
    begun(executor, lambda: 1, **options)
    executor.submit(RunJob(worker, (0,), (), (), ()))
    assert facts_until_finished(executor) == kinds
    executor.end()
    executor.close()


def test_the_node_of_a_thread_is_known_if_starts_are_not_reported():
    """What a thread is running can be asked for in the middle of the node."""
    inside, goes_on = threading.Event(), threading.Event()

    def waits():
        inside.set()
        return goes_on.wait(60)

    executor = thread_executor(1)
    begun(executor, waits, reports_starts=False)
    executor.submit(RunJob(1, (0,), (), (), ()))
    assert inside.wait(60)
    assert executor.running()[1].node == 0
    goes_on.set()
    facts_until_finished(executor)
    assert executor.running() == {}
    executor.end()
    executor.close()


@pytest.mark.parametrize("runner", [SequentialRunner, lambda: ThreadRunner(1)], ids=["sequential", "thread"])
@pytest.mark.parametrize("ignored", [(), (NodeStarted,)], ids=["all events", "no starts"])
def test_an_observer_that_ignores_starts_receives_the_ends(runner, ignored):
    """An observer receives the start of a node, then its end; only the end if it ignores starts."""

    class Observer:
        ignored_events = ignored

        def __call__(self, event):
            if isinstance(event, (NodeStarted, NodeFinished)) and type(event) not in ignored:
                seen.append(type(event))

    seen = []
    runner().run(Pipeline([node(lambda: 1, None, "made")]), Catalog(), observers=[Observer()])
    assert seen == ([NodeFinished] if ignored else [NodeStarted, NodeFinished])
