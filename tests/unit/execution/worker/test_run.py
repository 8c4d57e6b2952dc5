"""WorkerRun: the values of one run in a worker."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace

import pytest

from treadle.execution.attempt.context import Times
from treadle.execution.processes.heap import Heap
from treadle.execution.values.budget import Budget
from treadle.execution.values.transfer import LocalValues
from treadle.execution.worker import run as worker_run
from treadle.execution.worker.run import FLUSH_BATCH_SIZE, WorkerRun


def test_a_value_published_after_the_end_of_its_run_keeps_no_file_open(tmp_path):
    """The run ends while the monitor thread pickles one of its values: no file stays open."""

    class EndsTheRun:
        def __reduce__(self):
            run.end()
            return bytes, (bytes(1 << 17),)

    run = WorkerRun.__new__(WorkerRun)  # without the set-up of a whole run
    run._worker = SimpleNamespace(number=1, place=0, spec=SimpleNamespace(scratch=str(tmp_path)))
    run._budget = Budget(str(tmp_path), 1, 1 << 30)
    run._values_lock, run._values, run._files, run._ended = threading.Lock(), LocalValues({}.get), {}, False
    run._heap = Heap()
    run._values.store_as_is(3, EndsTheRun())
    handle = run.publish(3)
    assert handle.size > 1 << 17
    assert not run._files
    handle.close()
    run._budget.close()


class Channel:
    """Counts the reports of each message."""

    def __init__(self):
        self.messages, self.posted = [], 0

    def post(self, _report, _descriptors):
        """Add a report."""
        self.posted += 1
        return self.posted

    def flush(self):
        """Send the reports, if there are any."""
        self.messages += [self.posted] if self.posted else []
        self.posted = 0


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([0.0] * 300, [1, FLUSH_BATCH_SIZE, FLUSH_BATCH_SIZE]),  # the first one alone: nobody knows how long nodes take
        ([1 / 1024] * 300, [1, *[5] * 59]),
        ([1.0] * 300, [1] * 300),
        ([0.0, 0.003, 0.003, 0.003], [1, 2]),  # the second message leaves when its last node ends, not when the next one does
    ],
)
def test_reports_are_sent_together_but_not_late(monkeypatch, durations, expected):
    """Those of tiny nodes as one message; none waits much longer than some milliseconds for the node after it."""
    now, left = [1.0], iter(durations)

    def attempt(*_arguments, **_named):
        started = now[0]
        now[0] += next(left)
        return Times(started, now[0], 0.0, 0.0, 0.0)

    monkeypatch.setattr(worker_run, "attempt_node", attempt)
    monkeypatch.setattr(worker_run, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    run = WorkerRun.__new__(WorkerRun)  # as above
    board = SimpleNamespace(begin=lambda *_words: None, finish=lambda *_words: None)
    sender = SimpleNamespace(has_output=False)
    run._worker = SimpleNamespace(channel=Channel(), blackboard=board, sender=sender, place=0, current=None, running=None)
    run._context = run._number = None
    run._outputs, run._kept, run._heap, run._flush_at = {}, {}, Heap(), 0.0
    for node in range(len(durations)):
        run.attempt(node, deque())
    assert run._worker.channel.messages == expected
