"""The errors of a start that fails."""

from __future__ import annotations

import pytest

from treadle.errors import RunnerError
from treadle.execution.executors.loky.starting import forkserver_needed
from treadle.execution.processes.start_method import StartMethod


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (EOFError, "because the forkserver, the process that starts workers, has ended. "),
        (ConnectionRefusedError, "because the forkserver, the process that starts workers, has ended. "),
        (BrokenPipeError, "because its new process has ended, or the forkserver, "),
    ],
)
def test_the_error_says_which_process_may_have_ended(error, ended):
    """Only a broken pipe may also mean that the new process has ended: it alone is written to."""
    with pytest.raises(RunnerError, match=ended) as raised, forkserver_needed(StartMethod.FORKSERVER, 3):
        raise error
    assert raised.value.__cause__.__class__ is error


def test_errors_of_other_start_methods_are_left():
    """They have no forkserver."""
    with pytest.raises(BrokenPipeError), forkserver_needed(StartMethod.SPAWN, 3):
        raise BrokenPipeError
