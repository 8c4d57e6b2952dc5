"""Error messages for datasets that could not be loaded or saved.

Converts any exception of a library to a `DatasetError` that names the dataset, its type and its location, gives the probable
cause, and has the original as its cause. State: none. Neighbours: `catalog` calls datasets through this module.
"""

from __future__ import annotations

import errno
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.dataset import Dataset, describe_dataset
from treadle.io.loaded import loaded_module
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from collections.abc import Callable

_ANY = ("load", "save", "look for", "release", "confirm")
_CAUSES: Final[tuple[tuple[tuple[type[Exception], ...], tuple[str, ...], str], ...]] = (
    (
        (FileNotFoundError,),
        ("load",),
        "The file does not exist: run the node that saves it first, or correct the path in the catalog.",
    ),
    ((FileNotFoundError,), ("save",), "The folder cannot be created, or was removed: check the path in the catalog."),
    (
        (PermissionError,),
        _ANY,
        "You have no permission for that path: check its owner and mode, or the credentials in the catalog entry.",
    ),
    (
        (IsADirectoryError, NotADirectoryError),
        _ANY,
        "The path is a folder where a file is expected, or the reverse: check it, and `versioned` in the entry.",
    ),
    (
        (UnicodeDecodeError, UnicodeEncodeError),
        _ANY,
        "The file has another encoding: set `encoding` under `load_args` or `save_args` of the dataset.",
    ),
    ((EOFError,), _ANY, "The file is empty or truncated: create it again."),
    (
        (AttributeError, TypeError),
        ("save",),
        "The value probably has the wrong type, or `save_args` has an argument that the library does not accept.",
    ),
    ((TypeError,), ("load",), "`load_args` probably has an argument that the library does not accept."),
)
"""Probable causes by exception type and action; the first match is used."""
_SHORTAGES: Final = MappingProxyType(
    {
        errno.ENOSPC: "The disk is full.",
        errno.EDQUOT: "The quota of this user on that disk is used up: remove files, or have it raised.",
        errno.EFBIG: "This process may not write files of that size: raise the limit (`ulimit -f`).",
        errno.EROFS: "The file system is read-only: mount it for writing, or change the path in the catalog.",
        errno.EMFILE: "This process may open no more files: close those that nodes opened, or raise the limit (`ulimit -n`).",
    }
)
_GENERAL: Final = MappingProxyType({"load": "Check the file's content against the dataset's type and arguments in the catalog."})
_LOCATION_KEYS: Final = ("filepath", "path", "filename", "table_name", "url", "sql")


def guarded(action: str, name: str, dataset: Dataset, call: Callable[[], Any]) -> Any:
    """Call a method of a dataset, and convert its exceptions to a DatasetError that names the dataset.

    Args:
        action: the action, as a verb: `"load"`, `"save"`, `"look for"`, …
        name: the dataset's name in the catalog.
        dataset: the dataset.
        call: the method, bound to its arguments.

    Returns:
        what the method returns.

    Raises:
        DatasetError: whatever the method raised, as its cause.
    """
    try:
        return call()
    except Exception as exc:
        if isinstance(exc, DatasetError) and exc.dataset == name:
            raise
        masked = masked_exception(exc)
        raise _failure(action, name, dataset, exc) from masked


def _failure(action: str, name: str, dataset: Dataset, exc: Exception) -> DatasetError:
    cause = "" if isinstance(exc, DatasetError) else _probable_cause(action, exc) or _GENERAL.get(action, "")
    text = str(exc) if isinstance(exc, DatasetError) else f"{_type_name(exc)}: {exc}"
    msg = f"Could not {action} dataset {name!r} ({_identity(dataset)}). {text.rstrip('.')}."
    return DatasetError(f"{msg} {cause}" if cause else msg, dataset=name)


def _identity(dataset: Dataset) -> str:
    kind = type(dataset).__name__
    facts: dict[str, Any] = describe_dataset(dataset)
    location = next((facts[key] for key in _LOCATION_KEYS if facts.get(key)), None)
    return f"{kind} at {location}" if location is not None else kind


def _type_name(exc: Exception) -> str:
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _probable_cause(action: str, exc: Exception) -> str:
    """Return the probable cause of an exception and what to do about it; empty if unknown."""
    if isinstance(exc, ImportError):
        return f"A library that this dataset needs is not installed: {install_hint(exc.name)}."
    if "Could not set lock on file" in str(exc):
        return (
            "Only one process can open a DuckDB file. If another worker of this run has it open, list the datasets of the file "
            "under `exclusive` in conf/<env>/execution.yml, so that their nodes run in one process. Otherwise close the program "
            "that has it open."
        )
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno in _SHORTAGES:
        return _SHORTAGES[exc.errno]
    json = loaded_module("json")  # not imported for this: an error of it can exist only if it is imported already
    if json is not None and isinstance(exc, json.JSONDecodeError):
        return "The file is not valid JSON, or is truncated."
    for kind, actions, cause in _CAUSES:
        if isinstance(exc, kind) and action in actions:
            return cause
    # Kedro's datasets wrap the original exception in their own error.
    return _probable_cause(action, exc.__cause__) if isinstance(exc.__cause__, Exception) else ""


def install_hint(module: str | None) -> str:
    """Return how to install the library of a missing module.

    Args:
        module: the module that could not be imported, if known.

    Returns:
        a phrase for use in a sentence.
    """
    root = (module or "").partition(".")[0]
    if root in {"pandas", "pyarrow", "openpyxl"}:
        return 'install it with `pip install "treadle[pandas]"`'
    if root == "pandera":
        return 'install it with `pip install "treadle[pandera]"`'
    return f"install it, for example with `pip install {root}`" if root else "see which one above, and install it"
