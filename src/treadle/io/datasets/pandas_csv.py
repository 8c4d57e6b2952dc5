"""CSV files as pandas frames. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

from treadle.io.datasets.file import FileDataset

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPRESSIONS: Final = MappingProxyType({".gz": "gzip", ".bz2": "bz2", ".zip": "zip", ".xz": "xz", ".zst": "zstd"})


class CSVDataset(FileDataset):
    """A frame in a CSV file; `load_args` go to `pandas.read_csv`, `save_args` to `DataFrame.to_csv` (without the index)."""

    binary: ClassVar[bool] = True
    default_save_args: ClassVar[Mapping[str, Any]] = {"index": False}

    def read(self, file: IO[Any]) -> Any:
        """Parse the file."""
        import pandas as pd

        return pd.read_csv(file, **{"compression": self._compression(), **self.load_args})

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the frame."""
        data.to_csv(file, **{"compression": self._compression(), **self.save_args, "mode": "wb"})

    def _compression(self) -> str | None:
        """Say how the file is compressed; pandas would look at the name, but sees only an open file."""
        return _COMPRESSIONS.get(PurePosixPath(self.filepath).suffix.lower())
