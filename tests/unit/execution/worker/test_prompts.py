"""input() and breakpoint() in a worker raise an error that says how to run the node."""

from __future__ import annotations

import io
import pdb  # noqa: T100 - a debugger is what is refused
import sys

import pytest

from treadle.errors import RunnerError
from treadle.execution.worker.prompts import disable_prompts


@pytest.fixture
def worker(monkeypatch):
    """This process, with prompts disabled as in a worker."""
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "breakpointhook", sys.breakpointhook)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return disable_prompts


def read_a_line():
    return sys.stdin.readline()


def debug():
    pdb.Pdb(nosigint=True).set_trace()
    return 1  # the debugger stops here


@pytest.mark.parametrize("ask", [input, breakpoint, read_a_line, debug])
def test_prompts_are_refused(worker, ask):
    """Each of them raises, and the error names the runner to use."""
    worker(kedro=False)
    with pytest.raises(RunnerError, match="--runner sequential"):
        ask()
    sys.settrace(None)


def test_kedro_has_other_runner_names(worker):
    """The advice fits the command that the user types."""
    worker(kedro=True)
    with pytest.raises(RunnerError, match="--runner SequentialRunner"):
        input("name? ")


def test_another_debugger_is_called(worker, monkeypatch):
    """A debugger that PYTHONBREAKPOINT names is called."""
    monkeypatch.setenv("PYTHONBREAKPOINT", "builtins.dict")
    worker(kedro=False)
    assert breakpoint(a=1) == {"a": 1}  # noqa: T100 - the same


def test_reading_to_the_end_returns_nothing(worker):
    """A program that reads standard input to its end gets an empty text."""
    worker(kedro=False)
    assert sys.stdin.read() == ""
    assert list(sys.stdin) == []
