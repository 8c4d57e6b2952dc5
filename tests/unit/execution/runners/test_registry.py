"""make_runner makes a runner from a name or a path."""

from __future__ import annotations

import pytest

from treadle import AutoRunner, ParallelRunner, SequentialRunner, ThreadRunner
from treadle.errors import RunnerError
from treadle.execution.runners.registry import make_runner


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, SequentialRunner),
        ("sequential", SequentialRunner),
        ("thread", ThreadRunner),
        ("parallel", ParallelRunner),
        ("Parallel", ParallelRunner),
        ("auto", AutoRunner),
        ("treadle.ThreadRunner", ThreadRunner),
        ("treadle.execution.runners.parallel.ParallelRunner", ParallelRunner),
    ],
)
def test_names_and_paths(name, kind):
    """It accepts Treadle's names in any case, and the dotted path of a class."""
    assert type(make_runner(name)) is kind


def test_parameters_are_passed_to_the_class():
    """Parameters are the arguments of the class."""
    runner = make_runner("parallel", {"max_workers": 3, "start_method": "spawn"})
    assert (runner.max_workers, repr(runner)) == (3, "ParallelRunner(max_workers=3, start_method='spawn')")


def test_unknown_parameters_are_refused():
    """The error contains the class's own message."""
    with pytest.raises(RunnerError, match=r"'thread' does not take.*workers"):
        make_runner("thread", {"workers": 2})


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "two"])
def test_an_invalid_number_of_workers_is_refused(count):
    """Less than one worker, or a number that is not whole, is an error."""
    with pytest.raises(ValueError, match=r"at least 1"):
        make_runner("parallel", {"max_workers": count})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("paralel", "Did you mean 'parallel'"),
        ("xyz", r"There is no runner 'xyz'. Give a name \(sequential"),
        ("nowhere.Runner", "No module named 'nowhere'"),
        ("treadle.NoRunner", "no attribute 'NoRunner'"),
        ("subprocess.Popen", r"is not a Runner class but subprocess\.Popen"),
        ("os.path.join", "is not a Runner class but a function"),
    ],
)
def test_an_unknown_runner_is_refused(name, words):
    """The error about a wrong name suggests another one; that about a wrong path has the reason."""
    with pytest.raises(RunnerError, match=words):
        make_runner(name)
