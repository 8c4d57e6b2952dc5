"""The catalog and its datasets. State: none besides that of the objects."""

from treadle.io.catalog import Catalog
from treadle.io.dataset import Dataset
from treadle.io.memory import MemoryDataset

__all__ = ["Catalog", "Dataset", "MemoryDataset"]
