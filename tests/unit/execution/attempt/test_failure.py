"""Failures: plain records of any exception, and exceptions restored from them."""

from __future__ import annotations

import contextlib
import copyreg
import pickle
import sys
import threading

import pytest

from treadle import Catalog, Pipeline, SequentialRunner, node
from treadle.errors import DatasetError, NodeError
from treadle.execution.attempt.failure import OriginalError, format_user_traceback, record_failure, restore_exception


def caught(raise_it):
    try:
        raise_it()
    except BaseException as exc:  # noqa: BLE001 - exits are among what is tried here
        return exc
    raise AssertionError


def record(exc, **facts):
    failure = record_failure(caught(lambda: throw(exc)), phase="run", **facts)
    assert pickle.loads(pickle.dumps(failure)) == failure
    return failure


def throw(exc):
    raise exc


class TakesTwoError(Exception):
    """Cannot be rebuilt from its args."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class UnpicklableError(Exception):
    def __reduce__(self):
        raise TypeError("no pickle")


class ComesBackAsAnotherError(Exception):
    def __reduce__(self):
        return (ValueError, ("another",))


class ForgetfulError(Exception):
    def __init__(self, text="forgotten"):
        super().__init__()
        self.text = text

    def __str__(self):
        return self.text

    def __reduce__(self):
        return (ForgetfulError, ())


class ExitsError(Exception):
    def __reduce__(self):
        return (sys.exit, (3,))


def test_an_ordinary_exception_is_restored():
    """The record has type, text, phase and traceback, and the exception itself is restored."""
    failure = record(ValueError("bad value"), dataset="table")
    assert (failure.type_name, failure.message, failure.phase, failure.dataset) == ("ValueError", "bad value", "run", "table")
    assert failure.traceback.endswith("ValueError: bad value\n")
    assert "throw" in failure.traceback
    back = restore_exception(failure)
    assert type(back) is ValueError
    assert back.args == ("bad value",)


class OddError(Exception):
    """Has a keyword-only parameter, a slot and an attribute that cannot be pickled."""

    __slots__ = ("slot",)

    def __init__(self, a, *, code):
        super().__init__(a)
        self.code = code
        self.slot = "slot"
        self.lock = threading.Lock()


class OddOSError(OSError):
    def __init__(self, path, *, tried):
        super().__init__(2, "not there", path)
        self.tried = tried


class ShowsLockError(Exception):
    """Its text depends on an object that cannot be pickled."""

    def __init__(self):
        self.lock = threading.Lock()

    def __str__(self):
        return f"{self.lock.locked()}"


@pytest.mark.parametrize(
    "exc",
    [
        TakesTwoError(1, 2),
        UnpicklableError("x"),
        ComesBackAsAnotherError("x"),
        ForgetfulError("remembered"),
        ExitsError("x"),
        OddError("a", code=7),
        OddOSError("/nowhere", tried=3),
        OddError(threading.Lock(), code=7),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_an_exception_is_restored_with_its_class(exc):
    """Class, text and attributes are restored whatever its constructor and its pickling do, so that `except` works."""
    back = restore_exception(record(exc))
    assert type(back) is type(exc)
    assert str(back) == str(exc)
    attributes = {name: value for name, value in vars(exc).items() if name != "lock"}
    assert vars(back) == attributes
    assert getattr(back, "slot", None) == getattr(exc, "slot", None)
    assert getattr(back, "errno", None) == getattr(exc, "errno", None)
    assert getattr(back, "filename", None) == getattr(exc, "filename", None)


def test_an_unpicklable_exception_is_replaced():
    """An exception that cannot be pickled without losing its text is replaced by one with its type and text."""
    failure = record(ShowsLockError())
    assert failure.pickled is None
    back = restore_exception(failure)
    assert type(back) is OriginalError
    assert str(back).endswith("ShowsLockError: False")


def test_an_exception_that_cannot_be_printed_is_still_a_failure():
    """A __str__ that raises is reported in the record."""
    failure = record(UnprintableError())
    assert failure.message == "<its __str__ raised RuntimeError>"
    assert "UnprintableError" in failure.traceback
    assert isinstance(restore_exception(failure), OriginalError)


def test_an_exception_that_cannot_be_restored_is_replaced():
    """If this process cannot unpickle an exception, it is replaced by one with its type and text."""
    failure = record(ValueError("x"))
    broken = type(failure)("lost.Error", "x", "", b"cnowhere_at_all\nThing\n.")
    assert str(restore_exception(broken)) == "lost.Error: x"
    no_exception = type(failure)("lost.Error", "x", "", pickle.dumps("text"))
    assert str(restore_exception(no_exception)) == "lost.Error: x"


def test_causes_and_contexts_are_in_the_text():
    """The text contains the chain as Python prints it."""

    def chained():
        try:
            throw(KeyError("inner"))
        except KeyError as exc:
            raise ValueError("outer") from exc

    text = format_user_traceback(caught(chained))
    assert text.index("KeyError: 'inner'") < text.index("direct cause") < text.index("ValueError: outer")

    def during():
        try:
            throw(KeyError("inner"))
        except KeyError:
            throw(ValueError("outer"))

    assert "During handling of the above exception" in format_user_traceback(caught(during))


def test_a_cycle_of_causes_ends():
    """Exceptions that are each other's causes are formatted once each."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert "first" in format_user_traceback(caught(lambda: throw(first)))


def test_our_own_frames_are_hidden():
    """The traceback shows the user's function without the frames of Treadle."""

    def users_function():
        raise ValueError("mine")

    with pytest.raises(NodeError) as error:
        SequentialRunner().run(Pipeline([node(users_function, None, "a")]), Catalog())
    text = error.value.failure.traceback
    assert "users_function" in text
    assert "/treadle/execution/" not in text
    assert "/treadle/pipeline/" not in text
    assert error.value.__cause__.__traceback__ is not None


def test_context_managers_that_we_enter_are_hidden(tmp_path):
    """Frames of contextlib are hidden where Treadle saves a file, and shown where the user enters a context manager."""
    (tmp_path / "file").touch()
    catalog = Catalog.from_config({"a": {"type": "json.JSONDataset", "filepath": str(tmp_path / "file" / "a.json")}})
    with pytest.raises(NodeError) as error:
        SequentialRunner().run(Pipeline([node(lambda: 1, None, "a")]), catalog)
    assert "contextlib.py" not in error.value.failure.traceback

    @contextlib.contextmanager
    def users_manager():
        raise ValueError("mine")
        yield

    def users_function():
        with users_manager():
            pass

    text = format_user_traceback(caught(users_function))
    assert text.count("contextlib.py") == 1
    assert text.index("users_function") < text.index("contextlib.py") < text.index("in users_manager")


def test_an_exit_is_a_failure():
    """SystemExit is recorded like any exception."""
    failure = record(SystemExit(3))
    assert (failure.type_name, failure.message) == ("SystemExit", "3")
    assert isinstance(restore_exception(failure), SystemExit)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_exception_groups_are_formatted_completely():
    """The text contains every member of a group."""
    group = ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])])  # noqa: F821
    failure = record(group)
    assert "ValueError: one" in failure.traceback
    assert "KeyError: 'two'" in failure.traceback
    assert isinstance(restore_exception(failure), type(group))


def test_a_dataset_error_names_its_dataset():
    """If the caller does not name the dataset, that of the error is used."""
    assert record(DatasetError("gone", dataset="table")).dataset == "table"
    assert record(DatasetError("gone", dataset="table"), dataset="other").dataset == "other"


def test_a_class_of_a_function_is_named_fully():
    """The type is named with its module, except for builtins."""
    assert record(TakesTwoError(1, 2)).type_name.endswith("test_failure.TakesTwoError")
    assert record(OSError(2, "none")).type_name == "FileNotFoundError"


def test_an_exception_whose_own_attributes_raise():
    """An exception whose attributes raise is still recorded."""

    class OpaqueError(Exception):
        @property
        def __notes__(self):
            raise MemoryError

    failure = record(OpaqueError("x"))
    assert failure.type_name.endswith("OpaqueError")
    assert failure.traceback


def _rebuild_without_attributes(kind, args):
    exc = kind.__new__(kind)
    exc.args = args
    return exc


def test_an_exception_keeps_its_attributes_if_a_library_pickles_it_in_another_way(monkeypatch):
    """As tblib does, which comes with dask.distributed: it restores the arguments only."""
    reducer = lambda exc: (_rebuild_without_attributes, (type(exc), exc.args))
    monkeypatch.setitem(copyreg.dispatch_table, SystemExit, reducer)
    assert pickle.loads(pickle.dumps(SystemExit(3))).code is None
    restored = restore_exception(record_failure(SystemExit(3), phase="run"))
    assert (type(restored), restored.code) == (SystemExit, 3)
