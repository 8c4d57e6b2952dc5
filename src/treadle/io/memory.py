"""The dataset that stores its value in memory.

A value is copied when it is saved and when it is loaded, so that a node that modifies a loaded value does not affect
others (see `copying`). State: the value. Neighbours: `catalog` wraps plain values in it.
"""

from __future__ import annotations

from typing import Any, Final

from treadle.errors import DatasetError
from treadle.io.copying import CopyMode, copy_value
from treadle.io.dataset import Dataset

__all__ = ["CopyMode", "MemoryDataset", "copy_value"]

_NOTHING: Final = object()


class MemoryDataset(Dataset):
    """A value in memory.

    Args:
        data: the initial value, which may be None; by default, the dataset is empty.
        copy_mode: `"assign"` returns the same object, `"copy"` a shallow copy, `"deepcopy"` a deep copy; None infers from the
            value how to copy it so that changes to the copy do not affect it.
        metadata: any data of the project about the dataset; Treadle ignores it.

    Example:
        >>> dataset = MemoryDataset([1, 2])
        >>> dataset.load().append(3)
        >>> dataset.load()
        [1, 2]
    """

    in_memory = True

    def __init__(self, data: Any = _NOTHING, copy_mode: CopyMode | str | None = None, metadata: Any = None) -> None:
        self.copy_mode = CopyMode.parse(copy_mode)
        self.metadata = metadata
        self._data = data if data is _NOTHING else copy_value(data, self.copy_mode)

    @property
    def has_data(self) -> bool:
        """True if there is a value to load."""
        return self._data is not _NOTHING

    def load(self) -> Any:
        """Return the value, copied according to the copy mode.

        Raises:
            DatasetError: nothing was saved yet, or the value cannot be copied.
        """
        if self._data is _NOTHING:
            msg = (
                "This memory dataset has no value: no node has saved it in this process, or its value was released after its "
                "last use. Run the node that saves it, or add a value to the catalog."
            )
            raise DatasetError(msg)
        return copy_value(self._data, self.copy_mode)

    def save(self, data: Any) -> None:
        """Store a value, copied according to the copy mode.

        Raises:
            DatasetError: the value is None, or it cannot be copied.
        """
        if data is None:
            msg = "None cannot be saved. The function of the node probably lacks a return statement."
            raise DatasetError(msg)
        self._data = copy_value(data, self.copy_mode)

    def exists(self) -> bool:
        """Return whether there is a value."""
        return self.has_data

    def release(self) -> None:
        """Release the value."""
        self._data = _NOTHING

    def describe(self) -> dict[str, Any]:
        """Return the type of the value and the copy mode."""
        facts: dict[str, Any] = {"data": f"<{type(self._data).__name__}>"} if self.has_data else {}
        if self.copy_mode is not None:
            facts["copy_mode"] = self.copy_mode.value
        return facts

    def __repr__(self) -> str:
        facts = ", ".join(f"{key}={value}" for key, value in self.describe().items())
        return f"MemoryDataset({facts})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The marker of an empty dataset is compared by identity, which pickling does not preserve.
        data = () if self._data is _NOTHING else (self._data,)
        return _rebuild, (type(self), self.copy_mode, self.metadata, data)


def _rebuild(cls: type[MemoryDataset], copy_mode: CopyMode | None, metadata: Any, data: tuple[Any, ...]) -> MemoryDataset:
    dataset = cls(copy_mode=copy_mode, metadata=metadata)
    if data:
        dataset._data = data[0]
    return dataset
