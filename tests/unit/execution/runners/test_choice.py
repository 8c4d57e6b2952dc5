"""choose_runner: the arguments `runner=` and `runner_params=`, read once."""

from __future__ import annotations

import pytest

from treadle import ParallelRunner, SequentialRunner, ThreadRunner
from treadle.errors import RunnerError
from treadle.execution.runners.choice import RunnerChoice, choose_runner


class OwnRunner(SequentialRunner):
    """A runner of a program's own."""


class Duck:
    """Something else that can run."""

    def run(self) -> None: ...


@pytest.mark.parametrize("name", [None, "thread", "package.module.Runner", "nonsense"])
def test_a_name_is_kept_and_nothing_is_made(name):
    """A name and its parameters are what another process makes the same runner with; a wrong name is no error yet."""
    assert choose_runner(name, {"max_workers": 2}) == RunnerChoice(name, {"max_workers": 2}, None)


def test_a_runner_made_from_a_name_is_closed():
    """A runner that was made from its name keeps its workers only while it is open."""
    with choose_runner("thread", {"max_workers": 2}).opened() as runner:
        assert isinstance(runner, ThreadRunner)
        assert runner._keeps_workers
    assert not runner._keeps_workers


def test_a_given_runner_stays_open():
    """A runner that the caller made is used as it is, and its caller closes it."""
    with ThreadRunner(2) as mine:
        choice = choose_runner(mine, {})
        with choice.opened() as runner:
            assert runner is mine
        assert mine._keeps_workers
    assert (choice.name, choice.params) == ("thread", {"max_workers": 2})


@pytest.mark.parametrize(
    ("runner", "name", "params"),
    [
        (ParallelRunner(2, seed=7), "parallel", {"max_workers": 2, "seed": 7}),
        (OwnRunner(), f"{__name__}.OwnRunner", {}),
        (Duck(), f"{__name__}.Duck", {}),
    ],
)
def test_a_given_runner_in_words(runner, name, params):
    """The name and the parameters of a runner that was given are those that make the same one."""
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
def test_what_cannot_be_a_runner(runner, params, words):
    """What cannot run, or cannot be changed any more, is refused with a way out."""
    with pytest.raises(RunnerError, match=words):
        choose_runner(runner, params)
