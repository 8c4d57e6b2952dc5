"""A Kedro catalog as the nodes of one process use it: datasets built when first needed, memory datasets filled by the engine.

Nodes and hooks see a real catalog of the project's own class, so that its logging, validation and overrides hold. What the
engine carries lies in it only while a node needs it, in memory datasets that copy nothing: the engine copies.
State: the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.kedro.recipes import PackedDataset


class Desk:
    """The catalog of one process.

    Args:
        catalog: a Kedro catalog that belongs to this process alone.
        carried: plan index of each dataset that the engine carries, by name.
        packed: datasets that are built when a node first needs them.
    """

    def __init__(
        self,
        catalog: Any,
        carried: Mapping[str, int],
        packed: Mapping[str, PackedDataset] | None = None,
    ) -> None:
        self.catalog = catalog
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
