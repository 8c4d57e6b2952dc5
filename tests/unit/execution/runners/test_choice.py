"""choose_runner reads the arguments `runner=` and `runner_params=`."""

from __future__ import annotations

import pytest

from treadle import ParallelRunner, SequentialRunner, ThreadRunner
from treadle.errors import RunnerError
from treadle.execution.runners.choice import RunnerChoice, choose_runner


class OwnRunner(SequentialRunner):
    """A custom runner."""


class Duck:
    """Another object with a `run` method."""

    def run(self) -> None: ...


@pytest.mark.parametrize("name", [None, "thread", "package.module.Runner", "nonsense"])
def test_a_name_is_kept_and_no_runner_is_made(name):
    """The choice has the name and the parameters; a wrong name is no error yet."""
    assert choose_runner(name, {"max_workers": 2}) == RunnerChoice(name, {"max_workers": 2}, None)


def test_a_runner_made_from_a_name_is_closed():
    """A runner that is made from a name keeps its workers only while it is open."""
    with choose_runner("thread", {"max_workers": 2}).opened() as runner:
        assert isinstance(runner, ThreadRunner)
        assert runner._keeps_workers
    assert not runner._keeps_workers


def test_a_given_runner_stays_open():
    """A runner that the caller made is used unchanged, and stays open."""
    with ThreadRunner(2) as mine:
        choice = choose_runner(mine, {})
        with choice.opened() as runner:
            assert runner is mine
        assert mine._keeps_workers
    assert (choice.name, choice.params) == ("thread", {"max_workers": 2})


def test_an_inferred_start_method_is_no_parameter():
    """Another process infers its own, since a fork that is safe here may not be safe there."""
    runner = ParallelRunner(2)
    runner.start_method, runner.start_method_reason = "fork", "safe here"
    assert choose_runner(runner).params == {"max_workers": 2}
    runner.start_method_reason = None
    assert choose_runner(runner).params == {"max_workers": 2, "start_method": "fork"}


@pytest.mark.parametrize(
    ("runner", "name", "params"),
    [
        (ParallelRunner(2, seed=7), "parallel", {"max_workers": 2, "seed": 7}),
        (OwnRunner(), f"{__name__}.OwnRunner", {}),
        (Duck(), f"{__name__}.Duck", {}),
    ],
)
def test_a_given_runner_has_a_name_and_parameters(runner, name, params):
    """Another process can make the same runner from the name and the parameters."""
    choice = choose_runner(runner)
    assert (choice.name, choice.params) == (name, params)


@pytest.mark.parametrize(
    ("runner", "params", "words"),
    [
        (SequentialRunner(), {"max_workers": 2}, r"max_workers.*already made: SequentialRunner"),
        (ThreadRunner, None, r"the class ThreadRunner. Give an instance, ThreadRunner\(\)"),
        (5, None, r"was given 5, a int"),
        (["thread"], None, r"was given \['thread'\], a list"),
    ],
)
def test_an_invalid_runner_is_refused(runner, params, words):
    """An object that cannot run, or parameters for a runner that is already made, are an error that says what to do."""
    with pytest.raises(RunnerError, match=words):
        choose_runner(runner, params)
