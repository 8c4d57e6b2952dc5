"""A Kedro catalog as the nodes of one process use it: datasets built when first needed, memory datasets filled by the engine.

Nodes and hooks see a real catalog of the project's own class, so that its logging, validation and overrides hold. What the
engine carries lies in it only while a node needs it, in memory datasets that copy nothing: the engine copies.
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
        carried: plan index of each dataset that the engine carries, by name.
        packed: datasets that are built when a node first needs them.
        state: what datasets learn by saving in other processes; None where all nodes run in this one.
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
        """Build what is missing among a node's datasets."""
        for name in names:
            if name in self._packed:
                if name not in self.catalog._datasets:  # a hook may have asked for it
                    self.catalog._datasets[name] = self._packed[name].build()
                    getattr(self.catalog, "_lazy_datasets", {}).pop(name, None)
                del self._packed[name]

    def lay(self, name: str, value: Any) -> None:
        """Lay an input that the engine carries on the desk."""
        from kedro.io import MemoryDataset

        self._place(name, MemoryDataset(value, copy_mode="assign"))

    def clear(self, name: str) -> None:
        """Take a carried dataset off the desk."""
        if name not in self._below:
            return
        below = self._below.pop(name)
        if below is None:
            self.catalog._datasets.pop(name, None)
        else:
            self.catalog._datasets[name] = below

    def clear_all(self) -> None:
        """Take everything off the desk that the engine carries."""
        for name in list(self._below):
            self.clear(name)

    def load(self, name: str) -> Any:
        """Load an input; a dataset that was saved in another process first gets what it learned there."""
        if self._state is None or name not in self._watched:
            return self.catalog.load(name)
        self._state.refresh(name, lambda: self.catalog.get(name))
        try:
            return self.catalog.load(name)
        except BaseException as exc:  # goes on at once
            self._state.explain(name, exc)
            raise

    def persist(self, name: str, value: Any) -> None:
        """Save an output that a dataset of this process keeps; what the dataset learns by it is noted for other processes."""
        if self._state is None or name not in self._watched:
            self.catalog.save(name, value)
            return
        dataset = self.catalog.get(name)
        self._state.before_save(name, dataset)
        self.catalog.save(name, value)
        self._state.after_save(name, dataset)

    def save(self, name: str, value: Any) -> Any:
        """Save an output that the engine carries.

        Returns:
            The value as the catalog keeps it: a validator may have changed it. Nobody but the caller holds it then.
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
