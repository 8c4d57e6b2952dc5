"""The protocol of a dataset, and the capabilities that it declares.

A dataset loads and saves one value, and hides where it is stored. The engine never checks the class of a dataset, only its
capabilities: `capabilities_of` reads what Treadle's and Kedro's classes declare. State: none. Neighbours: `memory` and
    `datasets/*`
implement the protocol, `recipe` builds datasets from configuration, `catalog` stores them by name.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from treadle.named_tuple import NamedTuple

_KEDRO_MEMORY: Final = frozenset(f"kedro.io.{name}" for name in ("memory_dataset", "shared_memory_dataset", "cached_dataset"))


@runtime_checkable
class Dataset(Protocol):
    """A value that can be loaded and saved; subclass it and implement `load` and `save`.

    Example:
        >>> class Counter(Dataset):
        ...     def __init__(self) -> None:
        ...         self.saved: list[int] = []
        ...     def load(self) -> int:
        ...         return len(self.saved)
        ...     def save(self, data: int) -> None:
        ...         self.saved.append(data)
        >>> counter = Counter()
        >>> counter.save(5)
        >>> counter.load()
        1
    """

    in_memory: bool = False
    """True if the object itself holds the value, so that the engine has to transfer it between processes."""

    main_process_only: bool = False
    """True if the object can be used only in the main process; the nodes that use it run there."""

    exclusive: str | None = None
    """Name of a shared resource that only one process can open, such as the file of a database."""

    @abstractmethod
    def load(self) -> Any:
        """Return the value."""

    @abstractmethod
    def save(self, data: Any) -> None:
        """Save a value."""

    def exists(self) -> bool:
        """Return whether there is a value to load; False if that is not known."""
        return False

    def release(self) -> None:
        """Release memory and handles that are held for the value; stored data is not deleted."""
        return

    def confirm(self) -> None:
        """Confirm that the loaded data has been processed (for datasets that store how far they have read)."""
        return

    def describe(self) -> dict[str, Any]:
        """Return a description of the dataset for messages, without credentials."""
        return {}

    def list_versions(self) -> list[str]:
        """Return the existing versions, the newest first; empty if there are none, or the dataset is not versioned."""
        versions = getattr(self, "versions", None)
        return list((versions() if callable(versions) else None) or ())


class Capabilities(NamedTuple):
    """The capabilities that a dataset declares.

    Attributes:
        in_memory: the object itself holds the value, so the engine transfers it between processes.
        main_process_only: the object can be used only in the main process.
        exclusive: name of a shared resource that only one process can open, such as a DuckDB file.
    """

    in_memory: bool = False
    main_process_only: bool = False
    exclusive: str | None = None


def capabilities_of(dataset: object) -> Capabilities:
    """Read the capabilities that a dataset, or a dataset class, declares.

    Args:
        dataset: a dataset or dataset class of Treadle or Kedro (which declares `_EPHEMERAL` and `_SINGLE_PROCESS`).

    Returns:
        the capabilities; what is not declared is False.
    """
    return Capabilities(
        in_memory=_declares(dataset, "in_memory", "_EPHEMERAL") or _is_kedro_memory_class(dataset),
        main_process_only=_declares(dataset, "main_process_only", "_SINGLE_PROCESS"),
        exclusive=exclusive_of(dataset),
    )


def exclusive_of(dataset: object) -> str | None:
    """Return the name of the resource of a dataset that only one process can open: declared, or derived from its attributes.

    Args:
        dataset: a dataset or a dataset class.

    Returns:
        the name; None if there is no such resource.
    """
    declared = getattr(dataset, "exclusive", None)
    if isinstance(declared, str):
        return declared
    if isinstance(dataset, type) or type(dataset).__module__.startswith("treadle."):
        return None
    from treadle.io.exclusive import shared_database  # imported late: most datasets are Treadle's

    return shared_database(getattr(dataset, "__dict__", {}))


def is_of_project(kind: type[Any]) -> bool:
    """Return whether a dataset class is defined by the project or a plugin: saving may then set any attribute."""
    return not kind.__module__.startswith("treadle.io.")


def releases_itself(kind: type[Any]) -> bool:
    """Return whether a class overrides `release`, which may then do more than clear a cache."""
    for method in ("release", "_release"):
        owner = next((each for each in kind.__mro__ if method in vars(each)), None)
        if owner is not None and owner.__module__.partition(".")[0] not in ("treadle", "kedro", "kedro_datasets"):
            return True
    return False


def is_dataset(value: object) -> TypeGuard[Dataset]:
    """Return whether a value is a dataset, rather than a plain value to store in memory.

    Args:
        value: any value. A class is not a dataset. Other objects, such as images, may have `load` and `save` too, so the check
            includes `exists` and `release`, which every subclass of `Dataset` and every dataset of Kedro has.

    Returns:
        True for a dataset.
    """
    if isinstance(value, type):
        return False
    return all(callable(getattr(type(value), method, None)) for method in ("load", "save", "exists", "release"))


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's description, from its `describe` or `_describe`.

    Args:
        dataset: a dataset of Treadle (`describe`) or Kedro (`_describe`).

    Returns:
        facts by name; empty if it has none.
    """
    for method in ("describe", "_describe"):
        describe = getattr(dataset, method, None)
        if callable(describe):
            return dict(describe())
    return {}


def _is_kedro_memory_class(dataset: object) -> bool:
    """Return whether a class is one of Kedro's in-memory datasets, which declare it only on their instances."""
    kinds = dataset.__mro__ if isinstance(dataset, type) else ()
    return any(kind.__module__ in _KEDRO_MEMORY for kind in kinds)


def _declares(dataset: object, name: str, name_in_kedro: str) -> bool:
    return getattr(dataset, name, False) is True or getattr(dataset, name_in_kedro, False) is True
