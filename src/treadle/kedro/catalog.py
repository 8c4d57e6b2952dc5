"""Kedro's catalog as Treadle's planner and loop read it: where each dataset can be used, and values in memory.

State: that of Kedro's catalog. Versioned datasets are pinned to their versions for the duration of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.dataset import Capabilities, exclusive_of
from treadle.io.memory import CopyMode
from treadle.kedro.recipes import Versions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treadle.kedro.nodes import KedroNode


class Home(Enum):
    """Where a dataset's nodes may run, and how its value gets there."""

    MEMORY = "the engine transfers the value from node to node"
    ANYWHERE = "each process has its own dataset object"
    PARENT = "the object has state, so its nodes run in the main process"


class EngineCatalog:
    """The catalog interface that the engine uses, implemented with Kedro's catalog.

    Args:
        catalog: Kedro's catalog, in which every dataset of the run is built.
        nodes: the nodes of the run.
    """

    def __init__(self, catalog: Any, nodes: Iterable[KedroNode]) -> None:
        self.kedro = catalog
        self._homes: dict[str, Home] = {}
        confirmers: dict[str, set[str]] = {}
        users: dict[str, set[str]] = {}
        made: set[str] = set()
        for node in nodes:
            made.update(node.outputs)
            for name in node.kedro.confirms:
                confirmers.setdefault(name, set()).add(node.name)
            for name in dict.fromkeys((*node.inputs, *node.outputs, *node.kedro.confirms)):
                users.setdefault(name, set()).add(node.name)
                if name not in self._homes:
                    self._homes[name] = _home_of(self.dataset(name))
        for name in confirmers:
            # Confirming refers to what was loaded: if another node loads it, both need the same object.
            if len(users[name]) > 1 and self._homes[name] is Home.ANYWHERE:
                self._homes[name] = Home.PARENT
        self.made = frozenset(made)
        self._unpinned: dict[str, Any] = {}

    # --- for the planner ---------------------------------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def capabilities(self, name: str) -> Capabilities:
        """Return the capabilities of a dataset."""
        home = self._homes[name]
        exclusive = exclusive_of(self.dataset(name)) if home is Home.ANYWHERE else None
        return Capabilities(in_memory=home is Home.MEMORY, main_process_only=home is Home.PARENT, exclusive=exclusive)

    def home(self, name: str) -> Home:
        """Return where a dataset's nodes may run."""
        return self._homes[name]

    def dataset(self, name: str) -> Any:
        """Return the dataset itself."""
        return self.kedro.get(name)

    def copy_mode(self, name: str) -> CopyMode | None:
        """Return the declared copy mode of an in-memory dataset."""
        return CopyMode.parse(getattr(self.dataset(name), "_copy_mode", None))

    # --- for the loop ------------------------------------------------------------------------------------------------------

    def load(self, name: str) -> Any:
        """Load an input that is in memory, for the engine to transfer; the node's own process logs and validates it.

        Raises:
            DatasetError: the dataset has no data, or its data cannot be copied; Kedro's own error is the cause.
        """
        try:
            return self.dataset(name).load()
        except Exception as exc:
            raise DatasetError(str(exc), dataset=name) from exc

    def save(self, name: str, value: Any) -> None:
        """Put a result into Kedro's catalog, from which `run` returns it."""
        from kedro.io import MemoryDataset

        dataset = self.dataset(name)
        if isinstance(dataset, MemoryDataset):
            dataset._data = value  # there is no other reference, so the copy made by saving is not needed
        else:
            dataset.save(value)

    # --- the state of datasets ------------------------------------------------------------------------------------------------

    def learning(self) -> frozenset[str]:
        """Return the datasets that one process may save and another load, so attributes set by saving must be copied."""
        return frozenset(name for name in self.made if self._homes[name] is Home.ANYWHERE)

    def releasable(self, free: Collection[str]) -> frozenset[str]:
        """Return the datasets to release in this process after their last consumer; the engine releases values in memory.

        Args:
            free: the pipeline's free inputs and outputs, which are never released.
        """
        from kedro.io import MemoryDataset

        plain = _unwrapped(MemoryDataset._release)
        return frozenset(
            name
            for name, home in self._homes.items()
            if name not in free and (home is not Home.MEMORY or _unwrapped(type(self.dataset(name))._release) is not plain)
        )

    # --- versions ----------------------------------------------------------------------------------------------------------

    def pin_versions(self) -> dict[str, Versions]:
        """Pin the versioned datasets to the version that this run saves, and loads if it makes the dataset itself.

        Returns:
            The versions, for the workers' datasets.
        """
        pinned = {}
        for name in self._homes:
            dataset = self.dataset(name)
            version = getattr(dataset, "_version", None)
            if version is None or not hasattr(dataset, "resolve_save_version"):
                continue
            save = dataset.resolve_save_version()
            pinned[name] = Versions(version.load or (save if name in self.made else None), save)
            if name in self.made:
                self._unpinned[name] = version
                pinned[name].pin(dataset)
        return pinned

    def unpin_versions(self) -> None:
        """After a run that failed: let versioned datasets load the newest version again."""
        for name, version in self._unpinned.items():
            self.dataset(name)._version = version


def _home_of(dataset: Any) -> Home:
    from kedro.io import MemoryDataset, SharedMemoryDataset

    if isinstance(dataset, SharedMemoryDataset):
        if dataset.shared_memory_dataset is None:  # Kedro's own parallel runner creates one in its manager process
            dataset.shared_memory_dataset = MemoryDataset()
        return Home.MEMORY
    if isinstance(dataset, MemoryDataset) and all(
        _unwrapped(getattr(type(dataset), method)) is _unwrapped(getattr(MemoryDataset, method)) for method in ("load", "save")
    ):
        return Home.MEMORY
    if getattr(dataset, "_SINGLE_PROCESS", False) or getattr(dataset, "_EPHEMERAL", False):
        return Home.PARENT
    return Home.ANYWHERE


def _unwrapped(method: Any) -> Any:
    """Return a dataset's method without what Kedro wraps around it in each subclass."""
    return getattr(method, "__wrapped__", method)
