"""A Kedro catalog as the nodes of one process use it: datasets are built when first needed, the engine fills memory datasets.

Nodes and hooks see a real catalog of the project's own class, so its logging, validation and overrides apply. Values that the
engine transfers are in it only while a node needs them, in memory datasets that do not copy, because the engine does.
State: the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.kedro.recipes import PackedDataset


class Desk:
    """The catalog of one process.

    Args:
        catalog: a Kedro catalog that belongs to this process alone.
        carried: plan index of each dataset whose value the engine transfers, by name.
        packed: datasets that are built when a node first needs them.
        state: attributes that datasets set while saving in other processes; None if all nodes run in this process.
    """

    def __init__(
        self,
        catalog: Any,
        carried: Mapping[str, int],
        packed: Mapping[str, PackedDataset] | None = None,
        state: SharedState | None = None,
    ) -> None:
        self.catalog = catalog
        self._state = state
        self._watched = state.names if state is not None else frozenset()
        self.carried = carried
        self._packed = dict(packed or {})
        self._below: dict[str, Any] = {}

    def ready(self, names: Iterable[str]) -> None:
        """Build those of a node's datasets that do not exist yet."""
        for name in names:
            if name in self._packed:
                if name not in self.catalog._datasets:  # a hook may have built it already
                    self.catalog._datasets[name] = self._packed[name].build()
                    getattr(self.catalog, "_lazy_datasets", {}).pop(name, None)
                del self._packed[name]

    def lay(self, name: str, value: Any) -> None:
        """Put an input that the engine transfers into the catalog."""
        from kedro.io import MemoryDataset

        self._place(name, MemoryDataset(value, copy_mode="assign"))

    def clear(self, name: str) -> None:
        """Remove a transferred value from the catalog, and restore the dataset of that name."""
        if name not in self._below:
            return
        below = self._below.pop(name)
        if below is None:
            self.catalog._datasets.pop(name, None)
        else:
            self.catalog._datasets[name] = below

    def clear_all(self) -> None:
        """Remove all transferred values from the catalog."""
        for name in list(self._below):
            self.clear(name)

    def load(self, name: str) -> Any:
        """Load an input; a dataset that was saved in another process first gets the attributes that saving set there."""
        if self._state is None or name not in self._watched:
            return self.catalog.load(name)
        self._state.refresh(name, lambda: self.catalog.get(name))
        try:
            return self.catalog.load(name)
        except BaseException as exc:  # re-raised
            self._state.explain(name, exc)
            raise

    def persist(self, name: str, value: Any) -> None:
        """Save an output with a dataset of this process; attributes that saving sets are stored for other processes."""
        if self._state is None or name not in self._watched:
            self.catalog.save(name, value)
            return
        dataset = self.catalog.get(name)
        self._state.before_save(name, dataset)
        self.catalog.save(name, value)
        self._state.after_save(name, dataset)

    def save(self, name: str, value: Any) -> Any:
        """Save an output that the engine transfers.

        Returns:
            The value as the catalog stores it, which a validator may have changed. Only the caller holds a reference.
        """
        from kedro.io import MemoryDataset

        shelf = MemoryDataset(copy_mode="assign")
        self._place(name, shelf)
        try:
            self.catalog.save(name, value)
            return shelf._data
        finally:
            self.clear(name)

    def _place(self, name: str, dataset: Any) -> None:
        if name not in self._below:
            self._below[name] = self.catalog._datasets.get(name)
        self.catalog._datasets[name] = dataset
