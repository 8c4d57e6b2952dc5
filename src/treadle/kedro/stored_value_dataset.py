"""The Kedro dataset of a value that is stored because of its node's policy `cache: store`. State: that of its file dataset.

Neighbours: `stored_values.py` puts it in the catalog of a run; `treadle.io.datasets.pickled_value` reads and writes the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from treadle.io.datasets.pickled_value import PickledValueDataset

if TYPE_CHECKING:
    from treadle.events import ContentRecord
    from treadle.io.identity import FileIdentity


class StoredValueDataset(AbstractDataset[Any, Any]):
    """A value that would otherwise stay in memory.

    Args:
        filepath: the file that this run saves.
        earlier: the file of an earlier run, which is loaded unless this run has saved its own.
        digest: the digest of the earlier file.
    """

    def __init__(self, filepath: str, *, earlier: str | None = None, digest: str | None = None) -> None:
        self._value = PickledValueDataset(filepath, earlier=earlier, digest=digest)

    def load(self) -> Any:
        """Unpickle the value."""
        return self._value.load()

    def save(self, data: Any) -> None:
        """Pickle a value."""
        self._value.save(data)

    def content_record(self, name: str, known: ContentRecord | None = None) -> ContentRecord | None:
        """Return the content of the file, as `treadle.io.contents` asks for it."""
        return self._value.content_record(name, known)

    def file_identity(self) -> FileIdentity | None:
        """Return the identity of the file, as `treadle.io.identity` asks for it."""
        return self._value.file_identity()

    def _exists(self) -> bool:
        return self._value.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._value.filepath)}
