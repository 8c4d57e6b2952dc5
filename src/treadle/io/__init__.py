"""The catalog and its datasets; the names below are imported on first use. State: none besides that of the objects."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.io.catalog import Catalog
    from treadle.io.dataset import Dataset
    from treadle.io.memory import MemoryDataset

_HOMES = {
    "Catalog": "treadle.io.catalog",
    "Dataset": "treadle.io.dataset",
    "MemoryDataset": "treadle.io.memory",
}

__all__ = [
    "Catalog",
    "Dataset",
    "MemoryDataset",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
