"""WorkerRun: the values of one run in a worker."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from treadle.execution.processes.heap import Heap
from treadle.execution.values.budget import Budget
from treadle.execution.values.transfer import LocalValues
from treadle.execution.worker.run import WorkerRun


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
