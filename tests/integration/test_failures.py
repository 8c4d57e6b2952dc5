"""A node that fails, in each way that it can, fails the run with one clear error, the same under every runner."""

from __future__ import annotations

import logging
import os
import sys
import types
from pathlib import Path

import pytest

from treadle import Catalog, Dataset, MemoryDataset, NodePolicy, Pipeline, node
from treadle.errors import DatasetError, NodeError
from treadle.events import NodeFailed, NodeFinished, NodeSkipped, Outcome, RunFinished

PROCESSES = ("fork", "spawn", "forkserver", "loky")


def _run(runner, *nodes, events=None, **datasets):
    observers = () if events is None else (events.append,)
    return runner.run(Pipeline(nodes), Catalog(datasets), observers=observers)


def test_exception(any_runner, accidents):
    """The error names the node, carries the facts, shows the user's own frames, and has the exception as its cause."""
    events = []
    with pytest.raises(NodeError) as caught:
        _run(
            any_runner,
            node(accidents.one, None, "a", name="first"),
            node(accidents.spill, "a", "b", name="second"),
            node(accidents.add_one, "b", "c", name="third"),
            events=events,
        )
    error = caught.value
    assert "Node 'second' failed" in str(error)
    assert "ValueError: spilled 1" in str(error)
    assert (error.node, error.attempt, error.resume_from) == ("second", 1, ("first",))
    assert isinstance(error.__cause__, ValueError)
    assert str(error.__cause__) == "spilled 1"
    frames = [line.strip() for line in error.failure.traceback.splitlines() if line.startswith('  File "')]
    assert frames == [_frame(accidents, "spill", "return pour"), _frame(accidents, "pour", "raise ValueError")]
    (failed,) = [event for event in events if isinstance(event, NodeFailed)]
    assert (failed.node, failed.worker, failed.failure.phase) == ("second", error.worker, "run")
    assert [event.node for event in events if isinstance(event, NodeSkipped)] == ["third"]
    assert [event.outcome for event in events if isinstance(event, RunFinished)] == [Outcome.FAILED]


def _frame(module, function, line):
    lines = Path(module.__file__).read_text().splitlines()
    start = next(number for number, text in enumerate(lines) if text.startswith(f"def {function}("))
    number = next(number for number, text in enumerate(lines[start:], start + 1) if line in text)
    return f'File "{module.__file__}", line {number}, in {function}'


def test_queued_nodes_do_not_start(any_runner, way, accidents, tmp_path):
    """After a failure no further node begins, though many are ready; what runs meanwhile may finish (failure 8)."""
    meeting, release = tmp_path / "meeting", tmp_path / "release"
    os.mkfifo(meeting)
    os.mkfifo(release)
    events = []

    def observe(event):
        events.append(event)
        if isinstance(event, NodeFailed) and way != "sequential":
            release.write_text("go on")

    bad = node(accidents.spill if way == "sequential" else accidents.meet_and_spill, "meeting", "x", name="bad")
    running = node(accidents.meet_and_wait, ["meeting", "release"], "y", name="running")
    others = [node(accidents.count_up, "number", f"n{index}", name=f"other_{index}") for index in range(50)]
    catalog = Catalog({"meeting": str(meeting), "release": str(release), "number": 0})
    with pytest.raises(NodeError, match="Node 'bad' failed"):
        any_runner.run(Pipeline([bad, running, *others]), catalog, observers=(observe,))
    finished = [event.node for event in events if isinstance(event, NodeFinished)]
    skipped = [event.node for event in events if isinstance(event, NodeSkipped)]
    assert finished == ([] if way == "sequential" else ["running"])
    assert sorted(finished + skipped) == sorted(["running", *(other.name for other in others)])


def test_cause_chain(any_runner, accidents):
    """The exception that caused the exception is told too."""
    with pytest.raises(NodeError) as caught:
        _run(any_runner, node(accidents.spill_with_a_cause, "number", "x", name="bad"), number=3)
    assert "ValueError: spilled 3" in caught.value.failure.traceback
    assert "direct cause" in caught.value.failure.traceback
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("function", "type_name", "text"),
    [
        ("be_stubborn", "StubbornError", "will not travel"),
        ("be_picky", "PickyError", "silk: wrong colour"),
        ("be_mute", "MuteError", "RuntimeError"),
    ],
)
def test_exception_that_does_not_travel(any_runner, accidents, function, type_name, text):
    """An exception that cannot be pickled, unpickled or printed is told by type and text, and is the cause (failure 9)."""
    with pytest.raises(NodeError, match="Node 'odd' failed") as caught:
        _run(any_runner, node(getattr(accidents, function), None, "x", name="odd"))
    assert caught.value.failure.type_name == f"loom.accidents.{type_name}"
    assert text in caught.value.failure.message
    assert f"in {function}" in caught.value.failure.traceback
    cause = caught.value.__cause__
    assert type_name in type(cause).__name__ or type_name in str(cause)


@pytest.mark.parametrize(("function", "type_name"), [("leave", "SystemExit"), ("interrupt_itself", "KeyboardInterrupt")])
def test_exit_is_the_nodes_failure(any_runner, way, accidents, function, type_name):
    """`sys.exit` in a node is that node's failure; so is a KeyboardInterrupt that cannot be the user's own (failure 9)."""
    expected = KeyboardInterrupt if (way, type_name) == ("sequential", "KeyboardInterrupt") else NodeError
    with pytest.raises(expected) as caught:
        _run(any_runner, node(getattr(accidents, function), None, "x", name="leaving"))
    if expected is NodeError:
        assert caught.value.node == "leaving"
        assert caught.value.failure.type_name == type_name


@pytest.mark.parametrize(("given", "code"), [(3, 3), (0, 0), (None, 0), (-1, 255), (True, 1), ("no data", 1)])
def test_the_code_of_an_exit(any_runner, given, code):
    """What a node gives to `sys.exit` arrives as the run's exit code, as Python reads it; it is never tried again."""
    leaving = node(sys.exit, "code", "x", name="leaving", policy=NodePolicy(retries=2))
    with pytest.raises(NodeError) as caught:
        any_runner.run(Pipeline([leaving]), Catalog(), inputs={"code": given})
    assert caught.value.exit_code == code
    assert caught.value.failure.ends_well == (code == 0)
    assert caught.value.attempt == 1


def test_an_exit_among_other_failures(runner_for, accidents):
    """Where another node failed too, the exit is not what the run ended by."""
    nodes = [node(sys.exit, "code", "x", name="leaving"), node(accidents.spill, "code", "y", name="torn")]
    with pytest.raises(NodeError) as caught:
        runner_for("sequential").run(Pipeline(nodes), Catalog(), inputs={"code": 0}, on_failure="continue")
    assert len(caught.value.failures) == 2
    assert caught.value.exit_code is None


def test_result_that_does_not_leave(any_runner, way, accidents):
    """A free output that cannot leave its worker fails its node, and says what to do; where nothing must travel it is fine."""
    making = node(accidents.lock, None, "odd", name="making")
    if way not in PROCESSES:
        assert _run(any_runner, making)["odd"].acquire(blocking=False)
        return
    with pytest.raises(NodeError) as caught:
        _run(any_runner, making)
    assert caught.value.node == "making"
    assert "'odd'" in str(caught.value)
    assert "a runner without worker processes (sequential or thread)" in str(caught.value)
    assert isinstance(caught.value.__cause__, DatasetError)


class Here(Dataset):
    """Makes its nodes run in the main process."""

    main_process_only = True

    def load(self):
        return 0

    def save(self, data):
        del data


def test_value_that_does_not_arrive(any_runner, way, accidents):
    """A value that pickles and cannot be unpickled fails its taker by name: another node, or whoever asks the result for it."""
    making = node(accidents.no_return, None, "odd", name="making")
    using = node(accidents.sizes, ["odd", "number"], "here", name="using")
    if way not in PROCESSES:
        assert isinstance(_run(any_runner, making)["odd"], accidents.Returns)
        return
    result = _run(any_runner, making)
    with pytest.raises(DatasetError, match=r"'odd'.*JSONDecodeError") as caught:
        result["odd"]
    assert caught.value.dataset == "odd"
    with pytest.raises(NodeError, match=r"Node 'using' could not load 'odd'.*JSONDecodeError"):
        _run(any_runner, making, using, number=1, here=Here())


def test_function_that_workers_cannot_import(any_runner, monkeypatch):
    """A function of a module that only the parent has travels by value, with what it uses of its module."""
    module = types.ModuleType("only_here")
    exec("FIVE = 5\ndef five():\n    return FIVE\ndef work():\n    return five()", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    assert _run(any_runner, node(module.work, None, "x", name="lonely"))["x"] == 5


def test_input_that_cannot_be_loaded(any_runner, accidents, tmp_path):
    """A dataset that cannot be loaded fails its node, and the message names both (failure 16)."""
    from treadle.io.datasets.json import JSONDataset

    with pytest.raises(NodeError) as caught:
        _run(any_runner, node(accidents.add_one, "gone", "x", name="reader"), gone=JSONDataset(tmp_path / "gone.json"))
    assert "Node 'reader' could not load 'gone'" in str(caught.value)
    assert caught.value.failure.dataset == "gone"


def test_one_of_two_inputs_cannot_be_loaded(any_runner, accidents):
    """The node fails by the input that is missing, and nodes that do not depend on it run."""
    nodes = [
        node(accidents.sizes, ["missing", "number"], "never", name="reader"),
        node(accidents.add_one, "other", "more", name="independent"),
    ]
    events = []
    with pytest.raises(NodeError, match="Node 'reader' could not load 'missing'") as caught:
        any_runner.run(
            Pipeline(nodes),
            Catalog({"missing": MemoryDataset(), "number": 1, "other": 1}),
            on_failure="continue",
            observers=(events.append,),
        )
    assert [each.node for each in caught.value.failures] == ["reader"]
    assert [event.node for event in events if isinstance(event, NodeFinished)] == ["independent"]


def test_runner_goes_on_after_a_failure(any_runner, accidents):
    """A warm runner whose run failed runs the next pipeline as ever."""
    with pytest.raises(NodeError):
        _run(any_runner, node(accidents.spill, "number", "x", name="bad"), number=1)
    assert _run(any_runner, node(accidents.add_one, "number", "x"), number=1)["x"] == 2


def test_error_hook_runs_once(any_runner, accidents, caplog):
    """`on_node_error` is called once, where the node ran, with the exception itself; one that exits ends no more than itself."""
    from treadle.hooks import create_hook_manager, register_hooks

    hooks = create_hook_manager()
    register_hooks(hooks, [accidents.Leaver(), accidents.Witness()])  # what was registered last is called first
    with caplog.at_level(logging.INFO, logger="loom"), pytest.raises(NodeError):
        any_runner.run(Pipeline([node(accidents.be_stubborn, None, "x", name="bad")]), Catalog({}), hooks=hooks)
    assert [record.getMessage() for record in caplog.records if record.name == "loom.accidents"] == ["bad: StubbornError"]
