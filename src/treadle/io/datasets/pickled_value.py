"""The stored value of a node with `cache: store`: a pickle file of the run that made it, or of the run that made it last.

State: that of a file dataset. Neighbours: `treadle.session.stored_values` declares these datasets for a run; nothing else does.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import cloudpickle

from treadle.errors import DatasetError
from treadle.io.contents import digest_of
from treadle.io.datasets.pickle import PickleDataset


class PickledValueDataset(PickleDataset):
    """A value that would otherwise stay in memory.

    Args:
        filepath: the file that this run saves.
        earlier: the file of an earlier run, which is loaded unless this run has saved its own.
        digest: the digest of the earlier file. Another content is not unpickled.
    """

    saves_none: ClassVar[bool] = True
    """A node may return None for an output in memory."""

    def __init__(self, filepath: str, *, earlier: str | None = None, digest: str | None = None) -> None:
        super().__init__(filepath, backend="cloudpickle")
        self._earlier = earlier
        self._digest = digest

    def save(self, data: Any) -> None:
        """Write the file atomically."""
        with self.storage.writing(self.filepath, self._open_save) as file:
            self.write(file, data)

    def load_path(self) -> str:
        """Return the file of this run, else that of the earlier run."""
        if self._earlier is None or os.path.exists(self.filepath):  # noqa: PTH110 - a node may load thousands
            return self.filepath
        return self._earlier

    def exists(self) -> bool:
        """Return whether there is a file to load."""
        return self.storage.exists(self.load_path())

    def read_from(self, path: str) -> Any:
        """Unpickle a file; that of an earlier run only if it still has the content that was recorded."""
        with self.storage.reading(path, self._open_load) as file:
            content = file.read()
        if path != self.filepath and digest_of(content) != self._digest:
            msg = f"The stored value {path} is not the one that was recorded. Remove the file, and run again."
            raise DatasetError(msg)
        return cloudpickle.loads(content)
