"""Parquet files as pandas frames. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

from typing import IO, Any, ClassVar

from treadle.errors import DatasetError
from treadle.io.datasets.file import FileDataset
from treadle.io.opening import OpenArguments


class ParquetDataset(FileDataset):
    """A frame in a Parquet file; `load_args` go to `pandas.read_parquet`, `save_args` to `DataFrame.to_parquet`.

    It can also load a folder of Parquet files.
    """

    binary: ClassVar[bool] = True

    def read_from(self, path: str) -> Any:
        """Read a file, or a folder of files."""
        import pandas as pd

        if self.storage.local and (self._open_load == OpenArguments(binary=True) or self.storage.is_folder(path)):
            return pd.read_parquet(path, **self.load_args)
        if self.storage.is_folder(path):
            return pd.read_parquet(path, **{"storage_options": self._options or None, **self.load_args})
        return super().read_from(path)

    def read(self, file: IO[Any]) -> Any:
        """Parse the file."""
        import pandas as pd

        return pd.read_parquet(file, **self.load_args)

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the frame.

        Raises:
            DatasetError: `save_args` has `partition_cols`, which would write several files.
        """
        if "partition_cols" in self.save_args:
            msg = "A Parquet dataset is one file, so it cannot be saved with `partition_cols`. Use a PartitionedDataset instead."
            raise DatasetError(msg)
        data.to_parquet(file, **self.save_args)
