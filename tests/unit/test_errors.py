"""The tree of errors: fields, texts, and pickling both ways."""

from __future__ import annotations

import inspect
import pickle
import signal

import pytest

from treadle import errors
from treadle.errors import NodeError, Terminated, TreadleError, WorkerLostError
from treadle.events import Failure

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, TreadleError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_pickles_with_its_fields(kind):
    """Message, fields and notes come back."""
    error = kind("what happened", **{name: f"value of {name}" for name in kind.fields if name != "failure"})
    error.__dict__["__notes__"] = ["a note"]
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert back.args == ("what happened",)
    assert back.__notes__ == ["a note"]
    for name in kind.fields:
        assert getattr(back, name) == getattr(error, name)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_missing_fields_are_none(kind):
    """A field that nobody gave is None; one that there is not is refused."""
    error = kind("text")
    assert all(getattr(error, name) is None for name in kind.fields)
    with pytest.raises(TypeError, match=f"{kind.__name__} has no field 'wrong'"):
        kind("text", wrong=1)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_described_and_in_the_drawing(kind):
    """Each class has a docstring, annotates its fields, and stands in the tree at the top of the module."""
    assert kind.__doc__
    assert kind.__name__ in errors.__doc__
    annotated = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}
    assert annotated >= set(kind.fields)


def test_the_drawing_is_the_tree():
    """The drawing's indentation is the inheritance."""
    above: list[tuple[int, type]] = []
    drawn = 0
    for line in errors.__doc__.splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ").split()
        if not words or not isinstance(vars(errors).get(words[0]), type) or words[0] not in line[: 12 + len(words[0]) + 4]:
            continue
        depth = line.index(words[0])
        kind = vars(errors)[words[0]]
        above = [(level, parent) for level, parent in above if level < depth]
        if above:
            assert above[-1][1] in kind.__bases__, f"{words[0]} is drawn in the wrong place"
        above.append((depth, kind))
        drawn += 1
    assert drawn == len(CLASSES)


def test_wiring_and_configuration_mistakes_are_value_errors():
    """What Kedro's users catch as ValueError can be caught as that here."""
    for name in ("NotConfiguredError", "PipelineError", "RunnerError"):
        assert issubclass(getattr(errors, name), ValueError)


def test_a_node_error_prints_all_that_the_user_needs():
    """Its text is the paragraph, the user's traceback, and the command that resumes."""
    failure = Failure("ValueError", "bad", "Traceback …\nValueError: bad\n")
    error = NodeError("Node 'fit' failed: ValueError: bad", node="fit", failure=failure, resume="treadle run --from-nodes fit")
    assert str(error) == (
        "Node 'fit' failed: ValueError: bad\n\nTraceback …\nValueError: bad\n\n"
        "Resume the run from here with:\n  treadle run --from-nodes fit"
    )
    assert str(NodeError("Node 'fit' failed")) == "Node 'fit' failed"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("exitcode", "number"), [(-9, signal.SIGKILL), (-11, signal.SIGSEGV), (3, None), (0, None), (None, None), (-250, None)]
)
def test_a_lost_worker_knows_its_signal(exitcode, number):
    """A negative exit code is a signal, where there is one of that number."""
    assert WorkerLostError("lost", exitcode=exitcode).signal is number


def test_being_terminated_is_like_ctrl_c():
    """SIGTERM unwinds as an interrupt does, past `except Exception`."""
    assert issubclass(Terminated, KeyboardInterrupt)
    assert not issubclass(Terminated, Exception)
