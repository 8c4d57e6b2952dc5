"""Find the files of Kedro's datasets. State: none. Neighbours: `contents` and `identity` read the files."""

from __future__ import annotations

import copy
from typing import Any, Final

from treadle.named_tuple import NamedTuple

_HTTP: Final = ("http", "https")


class NoFileError(Exception):
    """A dataset has no file whose content could be compared; the message says why, in one sentence."""


class KedroFile(NamedTuple):
    """The file or folder that a load of a Kedro dataset would read.

    Attributes:
        path: its path on the file system.
        address: its path if it is local, or else its URL.
        files: the file system of fsspec; None for local files.
        version: the version that a load would read, if the dataset is versioned.
        names: the files of a folder that belong to the dataset, relative to it; None for all.
    """

    path: str
    address: str
    files: Any
    version: str | None = None
    names: tuple[str, ...] | None = None


def kedro_file(dataset: Any) -> KedroFile | None:
    """Return the file that a load of a Kedro dataset would read.

    Args:
        dataset: a dataset of Kedro. Most of its file datasets derive from its class for versioned datasets, versioned or not.

    Returns:
        The file; None if there is no version, or no partition.

    Raises:
        NoFileError: the dataset has no file, or one that Treadle cannot find.
    """
    if any(kind.__module__ == "kedro.io.cached_dataset" for kind in type(dataset).__mro__):
        return kedro_file(dataset._dataset)
    if hasattr(dataset, "_filename_suffix") and hasattr(dataset, "_filesystem"):
        return _partitions(dataset)
    protocol = getattr(dataset, "_protocol", None)
    files = None if protocol == "file" else getattr(dataset, "_fs", None)
    if not callable(getattr(dataset, "_get_load_path", None)) or (files is None and protocol != "file"):
        msg = "It has no file whose content could be compared."
        raise NoFileError(msg)
    probe = _with_own_cache(dataset)
    try:
        path, version = str(probe._get_load_path()), probe.resolve_load_version()
    except Exception as exc:
        if any(kind.__name__ == "VersionNotFoundError" for kind in type(exc).__mro__):
            return None
        raise
    address = path if protocol == "file" else f"{protocol}://{path}"
    return KedroFile(address if protocol in _HTTP else path, address, files, version)


def _partitions(dataset: Any) -> KedroFile | None:
    """Return the folder of a partitioned dataset. The list of partitions that it keeps may be from an earlier time."""
    if hasattr(dataset, "_checkpoint_config"):
        msg = "It loads what is new since its checkpoint, which each run decides itself."
        raise NoFileError(msg)
    protocol, files = dataset._protocol, dataset._filesystem
    files.invalidate_cache()
    found = files.find(dataset._normalized_path, **dataset._load_args)
    root = str(files._strip_protocol(dataset._normalized_path)).rstrip("/")
    names = tuple(path[len(root) :].lstrip("/") for path in found if path.endswith(dataset._filename_suffix))
    if not names:
        return None
    address = root if protocol == "file" else f"{protocol}://{root}"
    return KedroFile(root, address, None if protocol == "file" else files, names=names)


def _with_own_cache(dataset: Any) -> Any:
    """Return a copy of a versioned dataset with its own cache of versions, so that later loads still look for the newest."""
    probe = copy.copy(dataset)
    if hasattr(probe, "_version_cache"):  # of earlier Kedro 1.x
        probe._version_cache = copy.deepcopy(probe._version_cache)
    return probe
