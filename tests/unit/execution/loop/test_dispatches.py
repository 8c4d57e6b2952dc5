"""When attempts are sent to their workers, as the events of a run report it."""

from __future__ import annotations

import time

from treadle import Catalog, NodePolicy, Pipeline, SequentialRunner, node
from treadle.events import NodeFailed, NodeFinished, NodeStarted
from treadle.execution.loop.dispatches import Dispatches
from treadle.execution.scheduling.instructions import RunJob


def test_a_job_that_waited_for_values_was_assigned_when_they_were_requested():
    """Only jobs that are sent when the value arrives waited for it, not later ones that use it as well."""
    dispatches = Dispatches()
    dispatches.requested(7)
    requested = time.time()
    dispatches.arrived(7)
    dispatches.sent(RunJob(1, (0, 1), (7,), (), ()))
    dispatches.sent_all()
    dispatches.sent(RunJob(1, (2,), (7,), (), ()))
    assert dispatches.of(0) == dispatches.of(1)
    assert dispatches.of(0).assigned <= requested <= dispatches.of(0).submitted
    assert dispatches.of(2).assigned is None
    assert (dispatches.take(2).delayed_until, dispatches.of(2)) == (None, None)


def test_each_attempt_has_its_own_dispatch():
    """An attempt after a delay was not sent before the delay was over; the first has none."""
    calls = []

    def fail_once(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError
        return x

    flaky = node(fail_once, "x", "y", name="flaky", policy=NodePolicy(retries=1, retry_delay=0.01))
    events = []
    SequentialRunner().run(Pipeline([flaky]), Catalog({"x": 1}), observers=[events.append])
    (failed,) = [each for each in events if isinstance(each, NodeFailed)]
    (finished,) = [each for each in events if isinstance(each, NodeFinished)]
    started = [each for each in events if isinstance(each, NodeStarted)]
    assert [each.dispatch for each in started] == [failed.dispatch, finished.dispatch]
    assert failed.dispatch.delayed_until is None
    assert failed.at <= finished.dispatch.delayed_until <= finished.dispatch.submitted <= finished.started
