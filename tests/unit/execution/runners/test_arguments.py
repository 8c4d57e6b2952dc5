"""The arguments of runners: each is read, or an error names it."""

from __future__ import annotations

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, RunnerError, SequentialRunner, ThreadRunner, node
from treadle.execution.runners.arguments import checked_memory


@pytest.mark.parametrize("kind", [SequentialRunner, ThreadRunner, ParallelRunner])
def test_runners_accept_limits_and_a_failure_policy(kind):
    """Every runner accepts `resources` and `on_failure`, and refuses invalid values."""
    runner = kind(resources={"gpu": 1, "memory": "16GB"}, on_failure="continue")
    assert (runner.resources, runner.on_failure) == ({"gpu": 1, "memory": 16 * 10**9}, "continue")
    assert (kind().resources, kind().on_failure) == (None, None)
    with pytest.raises(RunnerError, match=r"resources=.*gpu is 'one'; give a whole number"):
        kind(resources={"gpu": "one"})
    with pytest.raises(RunnerError, match=r"resources=3: give amounts by name"):
        kind(resources=3)
    with pytest.raises(RunnerError, match=r"on_failure is 'ignore': give 'stop' or 'continue'"):
        kind(on_failure="ignore")
    assert (kind(is_async=True).is_async, kind(is_async=0).is_async) == (True, False)
    with pytest.raises(RunnerError, match=r"is_async is 'flase': give true or false"):
        kind(is_async="flase")


@pytest.mark.parametrize(("given", "read"), [(None, None), (0, 0), (5_000_000, 5_000_000), ("4GB", 4 * 10**9), ("1 GiB", 2**30)])
def test_a_limit_may_be_a_string(given, read):
    """Numbers are bytes; strings have units."""
    assert checked_memory(given) == read


def test_an_invalid_limit_is_refused():
    """The error names the argument."""
    with pytest.raises(RunnerError, match="exchange_memory is 'plenty'") as caught:
        checked_memory("plenty")
    assert caught.value.name == "exchange_memory"


@pytest.mark.parametrize(
    ("option", "given", "hint"),
    [
        ("hooks", 5, "create_hook_manager"),
        ("hooks", [object()], "register_hooks"),
        ("observers", print, "list of callables"),
        ("observers", [5], "list of callables"),
        ("observers", iter([print]), "list of callables"),
        ("inputs", 5, "mapping of dataset names"),
        ("inputs", [], "mapping of dataset names"),
        ("run_id", 5, "Give a text"),
        ("durations", {"n": 1.0}, "callable"),
    ],
)
def test_options_of_the_wrong_type_are_refused(option, given, hint):
    """The error names the option and says what to pass, before anything runs."""
    ran = []
    pipeline = Pipeline([node(lambda: ran.append(1), None, "x", name="n")])
    with pytest.raises(RunnerError, match=f"A runner was given {option}") as caught:
        SequentialRunner().run(pipeline, Catalog(), **{option: given})
    assert hint in str(caught.value)
    assert caught.value.name == option
    assert ran == []
