"""The protocol of a dataset, and the capabilities it declares.

A dataset knows how to load and save one value; where the value lives is its own business. The engine never asks what
class a dataset is, only what it declares: `capabilities_of` reads the declarations of our classes and of kedro's.
State: none here. Neighbours: `memory` and `datasets/*` implement the protocol, `recipe` builds datasets from
configuration, `catalog` holds them by name.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from treadle.io.exclusive import shared_database

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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a dataset declares about itself.

    Attributes:
        in_memory: the value lives in the object, and the engine carries it between processes.
        main_process_only: the object may not leave the main process.
        exclusive: name of what it shares with other datasets and only one process may have open, such as a DuckDB file.
    """

    in_memory: bool = False
    main_process_only: bool = False
    exclusive: str | None = None


def capabilities_of(dataset: object) -> Capabilities:
    """Read the capabilities that a dataset, or a dataset class, declares.

    Args:
        dataset: a dataset or a class of datasets, ours or kedro's (which declares `_EPHEMERAL` and `_SINGLE_PROCESS`).

    Returns:
        the capabilities; what is not declared is False.
    """
    return Capabilities(
        in_memory=_declares(dataset, "in_memory", "_EPHEMERAL") or _lives_in_kedro_memory(dataset),
        main_process_only=_declares(dataset, "main_process_only", "_SINGLE_PROCESS"),
        exclusive=exclusive_of(dataset),
    )


def exclusive_of(dataset: object) -> str | None:
    """Name what a dataset shares and only one process may have open: as its attribute `exclusive` says, or found from its others.

    Args:
        dataset: a dataset or a class of datasets.

    Returns:
        the name, None if there is no such thing.
    """
    declared = getattr(dataset, "exclusive", None)
    if isinstance(declared, str):
        return declared
    if isinstance(dataset, type) or type(dataset).__module__.startswith("treadle."):
        return None
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
    """Return whether a value is a dataset, rather than something to keep in memory.

    Args:
        value: anything; a class is never a dataset. An image that can `load` and `save` itself is not one either, so
            `exists` and `release` are asked for too (all that inherit from `Dataset` have them, and kedro's do).

    Returns:
        True for a dataset.
    """
    if isinstance(value, type):
        return False
    return all(callable(getattr(type(value), method, None)) for method in ("load", "save", "exists", "release"))


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's description, by whichever method it has.

    Args:
        dataset: a dataset of ours (`describe`) or of kedro (`_describe`).

    Returns:
        facts by name, empty where it says nothing.
    """
    for method in ("describe", "_describe"):
        describe = getattr(dataset, method, None)
        if callable(describe):
            return dict(describe())
    return {}


def _lives_in_kedro_memory(dataset: object) -> bool:
    """Return whether a class is one of kedro's that keep a value in memory; it declares so only on its instances."""
    kinds = dataset.__mro__ if isinstance(dataset, type) else ()
    return any(kind.__module__ in _KEDRO_MEMORY for kind in kinds)


def _declares(dataset: object, *names: str) -> bool:
    return any(getattr(dataset, name, False) is True for name in names)
