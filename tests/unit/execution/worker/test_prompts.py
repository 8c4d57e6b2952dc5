"""Questions in a worker process are refused with a way to ask them."""

from __future__ import annotations

import io
import pdb  # noqa: T100 - a debugger is what is refused
import sys

import pytest

from treadle.errors import RunnerError
from treadle.execution.worker.prompts import disable_prompts


@pytest.fixture
def worker(monkeypatch):
    """This process, made to refuse as a worker does."""
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
def test_what_asks_is_refused(worker, ask):
    """Whatever asks raises, and names the runner under which it would not."""
    worker(kedro=False)
    with pytest.raises(RunnerError, match="--runner sequential"):
        ask()
    sys.settrace(None)


def test_kedro_names_its_runners_otherwise(worker):
    """The advice fits the command that is typed."""
    worker(kedro=True)
    with pytest.raises(RunnerError, match="--runner SequentialRunner"):
        input("name? ")


def test_another_debugger_is_called(worker, monkeypatch):
    """A debugger that PYTHONBREAKPOINT names is no business of ours."""
    monkeypatch.setenv("PYTHONBREAKPOINT", "builtins.dict")
    worker(kedro=False)
    assert breakpoint(a=1) == {"a": 1}  # noqa: T100 - the same


def test_reading_to_the_end_finds_nothing(worker):
    """A program that reads what is piped into it finds the end at once, as ever."""
    worker(kedro=False)
    assert sys.stdin.read() == ""
    assert list(sys.stdin) == []
