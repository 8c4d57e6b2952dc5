from __future__ import annotations

import errno
import json

import pytest

from treadle.errors import DatasetError
from treadle.io.failures import guarded, install_hint
from treadle.io.memory import MemoryDataset


class Place(MemoryDataset):
    def describe(self):
        return {"filepath": "/data/x.csv"}


def failing(action, exc):
    def fail():
        raise exc

    with pytest.raises(DatasetError) as caught:
        guarded(action, "x", Place(), fail)
    return caught.value


def decode_error():
    try:
        b"\xff".decode()
    except UnicodeDecodeError as exc:
        return exc


@pytest.mark.parametrize(
    ("action", "exc", "cause"),
    [
        ("load", FileNotFoundError("x"), "run the node that saves it first"),
        ("save", FileNotFoundError("x"), "check the path"),
        ("load", PermissionError("x"), "owner and mode"),
        ("save", IsADirectoryError("x"), "folder where a file is expected"),
        ("load", ModuleNotFoundError("x", name="pyarrow.parquet"), 'pip install "treadle[pandas]"'),
        ("load", decode_error(), "another encoding"),
        ("load", json.JSONDecodeError("x", "{", 1), "not valid JSON"),
        ("load", EOFError("x"), "truncated"),
        ("save", AttributeError("x"), "wrong type"),
        ("load", TypeError("x"), "load_args"),
        ("save", OSError(errno.ENOSPC, "x"), "disk is full"),
        ("save", OSError(errno.EDQUOT, "x"), "quota"),
        ("save", OSError(errno.EFBIG, "x"), "ulimit -f"),
        ("save", OSError(errno.EROFS, "x"), "read-only"),
        ("load", OSError(errno.EMFILE, "x"), "ulimit -n"),
        ("load", ValueError("x"), "Check the file's content"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_probable_causes(action, exc, cause):
    """An exception becomes an error that names dataset, type, place, exception and probable cause."""
    error = failing(action, exc)
    assert str(error).startswith(f"Could not {action} dataset 'x' (Place at /data/x.csv). ")
    assert type(exc).__name__ in str(error)
    assert cause in str(error)
    assert error.dataset == "x"
    assert error.__cause__ is exc


def test_wrapped_causes():
    """Where a dataset wraps what happened in an error of its own, the cause is found behind it."""
    outer = RuntimeError("Failed while loading")
    outer.__cause__ = FileNotFoundError("x")
    assert "run the node that saves it first" in str(failing("load", outer))


def test_errors_that_know_their_dataset_pass():
    """An error that names the dataset already is not wrapped again; one that names none is."""
    named = DatasetError("text", dataset="x")
    assert failing("load", named) is named
    assert str(failing("load", DatasetError("Text."))) == "Could not load dataset 'x' (Place at /data/x.csv). Text."


def test_results_pass():
    """What a method returns is returned."""
    assert guarded("load", "x", Place(), lambda: 5) == 5


def test_install_hints():
    """A missing module is named by its package, our extras by theirs."""
    assert "treadle[pandas]" in install_hint("openpyxl")
    assert "pip install polars" in install_hint("polars.io")
    assert "see which one" in install_hint(None)
