"""How a worker process ended, as the log of its nanny has it."""

from __future__ import annotations

import pytest

from treadle.execution.executors.dask.exits import Exit, ask_nanny, describe_exit_of, exit_in

MEMORY = "distributed.nanny.memory - WARNING - Worker tcp://127.0.0.1:1 (pid=41) exceeded 95% memory budget. Restarting..."


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], Exit()),
        (["distributed.nanny - INFO - Worker process 41 was killed by signal 11"], Exit(-11)),
        (["distributed.nanny - INFO - Worker process 41 exited with status 3"], Exit(3)),
        (["distributed.nanny - INFO - Worker process 41 was killed by unknown signal"], Exit()),
        (["distributed.nanny - INFO - Worker process 412 was killed by signal 11"], Exit()),
    ],
)
def test_the_exit_code_is_that_of_the_process(lines, found):
    """Lines about other processes are ignored."""
    assert exit_in(lines, 41) == found


@pytest.mark.parametrize("code", [0, 3, -11])
def test_lines_of_clusters_in_this_process(code):
    """They are as dask's own."""
    assert exit_in([describe_exit_of(41, code)], 41) == Exit(code)


def test_a_worker_that_used_too_much_memory():
    """The reason is dask's own, not that of the signal with which dask ended the process."""
    found = exit_in([MEMORY, "distributed.nanny - INFO - Worker process 41 was killed by signal 15"], 41)
    assert found.code == -15
    assert "its memory exceeded 95 % of the limit" in found.reason


def test_a_nanny_that_is_slow(run_slowly, late):
    """Its answer is waited for, and it is asked again, because it notices the end of the process late."""
    answers = [(), (), ("Worker process 41 was killed by signal 9",)]

    class Nanny:
        async def get_logs(self):
            await late(10)
            return [("INFO", line) for line in answers.pop(0)]

    assert run_slowly(ask_nanny(Nanny(), 41)) == Exit(-9)


def test_a_nanny_that_is_slow_and_does_not_know(run_slowly, late):
    """It is not asked sixty times: the nodes of the worker run elsewhere when the answer is there."""
    asked = []

    class Nanny:
        async def get_logs(self):
            asked.append(None)
            await late(20)
            return []

    assert run_slowly(ask_nanny(Nanny(), 41)) == Exit()
    assert len(asked) == 2
