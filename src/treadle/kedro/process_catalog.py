"""The Kedro catalog of one process: build datasets when a node first needs them, and hold the values that the engine transfers.

Nodes and hooks see a catalog of the project's own class, so its logging, validation and overrides apply. A value that the engine
transfers is in the catalog only while a node needs it, in a MemoryDataset that does not copy, because the engine has copied it.
State: the catalog, the pickled datasets that are not built yet, and the datasets that transferred values hide.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.kedro.dataset_pickling import PackedDataset


class Unsaved(Enum):
    """What the engine transfers for an output in memory that was not saved: a generator yielded nothing, or a hook removed it."""

    VALUE = "not saved"


class ProcessCatalog:
    """The Kedro catalog of one process, and the values that the engine puts into it.

    Args:
        catalog: a Kedro catalog that belongs to this process alone.
        transferred: plan index of each dataset whose value the engine transfers, by name.
        packed: pickled datasets, which are built when a node first needs them.
        state: attributes that datasets set while saving in other processes; None if all nodes run in this process.
    """

    def __init__(
        self,
        catalog: Any,
        transferred: Mapping[str, int],
        packed: Mapping[str, PackedDataset] | None = None,
        state: SharedState | None = None,
    ) -> None:
        self.kedro_catalog = catalog
        self._state = state
        self._watched = state.names if state is not None else frozenset()
        self.transferred = transferred
        self._packed = dict(packed or {})
        self._hidden: dict[str, Any] = {}

    def add_packed(self, name: str, dataset: PackedDataset) -> None:
        """Add a pickled dataset, which is built when a node first needs it."""
        self._packed[name] = dataset

    def build_datasets(self, names: Iterable[str]) -> None:
        """Build the datasets of a node that are not in the catalog yet."""
        for name in names:
            if name in self._packed:
                if name not in self.kedro_catalog._datasets:  # a hook may have built it already
                    self.kedro_catalog._datasets[name] = self._packed[name].build()
                    getattr(self.kedro_catalog, "_lazy_datasets", {}).pop(name, None)
                del self._packed[name]

    def put_input(self, name: str, value: Any) -> None:
        """Put an input that the engine transfers into the catalog."""
        from kedro.io import MemoryDataset

        dataset = MemoryDataset(copy_mode="assign")
        if value is not Unsaved.VALUE:
            dataset._data = value
        self._place(name, dataset)

    def remove_value(self, name: str) -> None:
        """Remove a transferred value from the catalog, and restore the dataset of that name."""
        if name not in self._hidden:
            return
        hidden = self._hidden.pop(name)
        if hidden is None:
            self.kedro_catalog._datasets.pop(name, None)
        else:
            self.kedro_catalog._datasets[name] = hidden

    def remove_values(self) -> None:
        """Remove all transferred values from the catalog."""
        for name in list(self._hidden):
            self.remove_value(name)

    def load(self, name: str) -> Any:
        """Load an input; if another process saved the dataset, copy the attributes that saving set there first."""
        if self._state is None or name not in self._watched:
            return self.kedro_catalog.load(name)
        self._state.refresh(name, lambda: self.kedro_catalog.get(name))
        try:
            return self.kedro_catalog.load(name)
        except BaseException as exc:  # re-raised
            self._state.explain(name, exc)
            raise

    def save_dataset(self, name: str, value: Any) -> None:
        """Save an output, and share the attributes that saving sets on the dataset with other processes."""
        if self._state is None or name not in self._watched:
            self.kedro_catalog.save(name, value)
            return
        dataset = self.kedro_catalog.get(name)
        self._state.before_save(name, dataset)
        self.kedro_catalog.save(name, value)
        self._state.after_save(name, dataset)

    def save(self, name: str, value: Any) -> Any:
        """Save an output that the engine transfers.

        Returns:
            The value as the catalog stores it, which a validator may have changed. Only the caller holds a reference.
        """
        from kedro.io import MemoryDataset

        target = MemoryDataset(copy_mode="assign")
        self._place(name, target)
        try:
            self.kedro_catalog.save(name, value)
            return target._data
        finally:
            self.remove_value(name)

    def _place(self, name: str, dataset: Any) -> None:
        if name not in self._hidden:
            self._hidden[name] = self.kedro_catalog._datasets.get(name)
        self.kedro_catalog._datasets[name] = dataset
