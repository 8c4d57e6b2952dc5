"""Adapt Kedro's catalog to Treadle's planner and loop: which processes may use each dataset, and the values in memory.

Runs in the main process. State: Kedro's catalog, whose versioned datasets are pinned to one version during a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.dataset import Capabilities, exclusive_of
from treadle.io.memory import CopyMode
from treadle.kedro.dataset_pickling import Versions
from treadle.kedro.process_catalog import Unsaved
from treadle.kedro.stored_value_dataset import StoredValueDataset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treadle.kedro.nodes import KedroNode


class Placement(Enum):
    """Which processes may use a dataset, and how they get its value."""

    MEMORY = "the engine transfers the value from node to node"
    ANY_PROCESS = "each process has its own dataset object"
    MAIN_PROCESS = "the object has state, so its nodes run in the main process"


class EngineCatalog:
    """The catalog interface that the engine uses, implemented with Kedro's catalog.

    Args:
        catalog: Kedro's catalog, in which every dataset of the run is built.
        nodes: the nodes of the run.
    """

    def __init__(self, catalog: Any, nodes: Iterable[KedroNode]) -> None:
        self.kedro = catalog
        self._placements: dict[str, Placement] = {}
        confirmers: dict[str, set[str]] = {}
        users: dict[str, set[str]] = {}
        produced: set[str] = set()
        for node in nodes:
            produced.update(node.outputs)
            for name in node.kedro.confirms:
                confirmers.setdefault(name, set()).add(node.name)
            for name in dict.fromkeys((*node.inputs, *node.outputs, *node.kedro.confirms)):
                users.setdefault(name, set()).add(node.name)
                if name not in self._placements:
                    self._placements[name] = _placement_of(self.dataset(name))
        for name in confirmers:
            # `confirm` refers to the data that was loaded last, so the nodes that load and confirm share one object.
            if len(users[name]) > 1 and self._placements[name] is Placement.ANY_PROCESS:
                self._placements[name] = Placement.MAIN_PROCESS
        self.produced = frozenset(produced)
        self._unpinned: dict[str, Any] = {}

    # --- for the planner ---------------------------------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        return name in self._placements

    def __iter__(self) -> Iterator[str]:
        return iter(self._placements)

    def capabilities(self, name: str) -> Capabilities:
        """Return the capabilities of a dataset."""
        placement = self._placements[name]
        exclusive = exclusive_of(self.dataset(name)) if placement is Placement.ANY_PROCESS else None
        return Capabilities(
            in_memory=placement is Placement.MEMORY, main_process_only=placement is Placement.MAIN_PROCESS, exclusive=exclusive
        )

    def placement(self, name: str) -> Placement:
        """Return where a dataset's nodes may run."""
        return self._placements[name]

    def dataset(self, name: str) -> Any:
        """Return the dataset itself."""
        return self.kedro.get(name)

    def is_versioned(self, name: str) -> bool:
        """Return whether each run saves a new version of a dataset."""
        return getattr(self.dataset(name), "_version", None) is not None

    def is_stored_value(self, name: str) -> bool:
        """Return whether a value is stored in a file because of its node's policy `cache: store`."""
        return isinstance(self.dataset(name), StoredValueDataset)

    def copy_mode(self, name: str) -> CopyMode | None:
        """Return the declared copy mode of an in-memory dataset."""
        return CopyMode.parse(getattr(self.dataset(name), "_copy_mode", None))

    # --- for the loop ------------------------------------------------------------------------------------------------------

    def load(self, name: str) -> Any:
        """Load an input in memory, for the engine to transfer. The process of the node logs and validates it.

        Raises:
            DatasetError: the dataset has no data, or its data cannot be copied; Kedro's own error is the cause.
        """
        from kedro.io import DatasetError as KedroDatasetError

        try:
            return self.dataset(name).load()
        except KedroDatasetError as exc:
            named = KedroDatasetError(f"{name}: {exc}")  # Kedro's catalog adds the name in the same way
            named.__cause__ = exc
            raise DatasetError(str(named), dataset=name) from named
        except Exception as exc:
            raise DatasetError(str(exc), dataset=name) from exc

    def save(self, name: str, value: Any) -> None:
        """Save an output of the run in Kedro's catalog, from which `run` returns it; leave it empty if its node saved nothing."""
        from kedro.io import MemoryDataset

        if value is Unsaved.VALUE:
            return
        dataset = self.dataset(name)
        if isinstance(dataset, MemoryDataset):
            dataset._data = value  # there is no other reference, so the copy made by saving is not needed
        else:
            dataset.save(value)

    # --- the state of datasets ------------------------------------------------------------------------------------------------

    def datasets_with_shared_state(self) -> frozenset[str]:
        """Return the datasets that one process may save and another may load: attributes that saving sets must be copied."""
        return frozenset(name for name in self.produced if self._placements[name] is Placement.ANY_PROCESS)

    def releasable(self, free: Collection[str]) -> frozenset[str]:
        """Return the datasets to release in this process after their last consumer. The engine itself releases values in memory.

        Args:
            free: the pipeline's free inputs and outputs, which are never released.
        """
        from kedro.io import MemoryDataset

        plain = _unwrapped(MemoryDataset._release)
        return frozenset(
            name
            for name, placement in self._placements.items()
            if name not in free
            and (placement is not Placement.MEMORY or _unwrapped(type(self.dataset(name))._release) is not plain)
        )

    # --- versions ----------------------------------------------------------------------------------------------------------

    def pin_versions(self) -> dict[str, Versions]:
        """Pin each versioned dataset to the version that this run saves, and loads if it produces the dataset.

        Returns:
            The versions, for the workers' datasets.
        """
        pinned = {}
        for name in self._placements:
            dataset = self.dataset(name)
            version = getattr(dataset, "_version", None)
            if version is None or not hasattr(dataset, "resolve_save_version"):
                continue
            save = dataset.resolve_save_version()
            pinned[name] = Versions(version.load or (save if name in self.produced else None), save)
            if name in self.produced:
                self._unpinned[name] = version
                pinned[name].pin(dataset)
        return pinned

    def unpin_versions(self) -> None:
        """Let versioned datasets load the newest version again, after a failed run."""
        for name, version in self._unpinned.items():
            self.dataset(name)._version = version


def _placement_of(dataset: Any) -> Placement:
    from kedro.io import MemoryDataset, SharedMemoryDataset

    if isinstance(dataset, SharedMemoryDataset):
        if dataset.shared_memory_dataset is None:  # Kedro's own parallel runner creates one in its manager process
            dataset.shared_memory_dataset = MemoryDataset()
        return Placement.MEMORY
    if isinstance(dataset, MemoryDataset) and all(
        _unwrapped(getattr(type(dataset), method)) is _unwrapped(getattr(MemoryDataset, method)) for method in ("load", "save")
    ):
        return Placement.MEMORY
    if getattr(dataset, "_SINGLE_PROCESS", False) or getattr(dataset, "_EPHEMERAL", False):
        return Placement.MAIN_PROCESS
    return Placement.ANY_PROCESS


def _unwrapped(method: Any) -> Any:
    """Return a dataset's method without the wrapper that Kedro adds in each subclass."""
    return getattr(method, "__wrapped__", method)
