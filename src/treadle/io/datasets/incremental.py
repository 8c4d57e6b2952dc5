"""A folder of files of which only the new ones are read: what came after the checkpoint.

Loading notes how far it read, confirming makes that the checkpoint. The note is a file of the run's own beside the checkpoint,
because the node that confirms may run in another process, and other files may have come meanwhile; a run that is resumed
after a failure confirms what the failed one had loaded.

    load ── partitions after CHECKPOINT ── note: .CHECKPOINT.<run>      confirm ── the note becomes CHECKPOINT

State: that of a partitioned dataset. Neighbours: `partitioned`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.datasets.partitioned import Partition, PartitionedDataset
from treadle.io.storage import OpenArguments

if TYPE_CHECKING:
    import os

_CHECKPOINT = "CHECKPOINT"
_NOTE = f".{_CHECKPOINT}."
_TEXT = OpenArguments()


class IncrementalDataset(PartitionedDataset):
    """The partitions that were not confirmed yet, loaded: a mapping of name to value, empty where nothing is new.

    A partition is new if its name sorts after the checkpoint, so names should begin with a date or a number of fixed width.
    The checkpoint is the file `CHECKPOINT` in the folder; remove it to read everything again.

    Args:
        path: the folder.
        dataset: what a partition is: a type, or an entry without its path.
        checkpoint: where to begin, in place of the checkpoint that is kept: the name of the last partition that is done, or
            the empty text for none; None for what is kept.
        filename_suffix: as for a partitioned dataset.
        filepath_arg: likewise.
        credentials: likewise.
        fs_args: likewise.
        metadata: likewise.
        run: the run that reads; the catalog gives it.
    """

    def __init__(  # noqa: PLR0913 - one argument a key of the entry
        self,
        path: str | os.PathLike[str],
        dataset: str | type[Any] | Mapping[str, Any],
        *,
        checkpoint: str | None = None,
        filename_suffix: str = "",
        filepath_arg: str = "filepath",
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Any = None,
        run: str | None = None,
    ) -> None:
        super().__init__(
            path,
            dataset,
            filename_suffix=filename_suffix,
            filepath_arg=filepath_arg,
            credentials=credentials,
            fs_args=fs_args,
            metadata=metadata,
        )
        self._forced = checkpoint
        self._own_note = f"{_NOTE}{run or 'run'}"

    def checkpoint(self) -> str:
        """Return the name of the last partition that is done, the empty text for none."""
        return self._forced if self._forced is not None else self._read(_CHECKPOINT)

    def load(self) -> dict[str, Any]:
        """Return the new partitions, loaded, and note how far this run has read."""
        done = self.checkpoint()
        new = [name for name in self.names() if name > done]
        values = {name: Partition(name, self._recipe(name))() for name in new}
        self._write(self._own_note, new[-1] if new else done)
        return values

    def confirm(self) -> None:
        """Make the checkpoint of what this run has loaded, or of what the last run loaded that did not come to its end.

        Raises:
            DatasetError: nothing was loaded.
        """
        notes = sorted(name for name in self.storage.names(self.path) if name.startswith(_NOTE))
        if not notes:
            msg = "Nothing of it was loaded that could be confirmed. Confirm it in the node that loads it, or in one after it."
            raise DatasetError(msg)
        chosen = self._own_note if self._own_note in notes else notes[-1]
        read = self._read(chosen)
        if self._forced is not None or read > self._read(_CHECKPOINT):  # a run that read less may end later
            self._write(_CHECKPOINT, read)
        for note in notes:
            if note == chosen or self._read(note) <= read:
                self.storage.remove(posixpath.join(self.path, note))

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry that makes this dataset."""
        entry = super().entry()
        del entry["overwrite"]
        return entry if self._forced is None else {**entry, "checkpoint": self._forced}

    def describe(self) -> dict[str, Any]:
        """Return the facts of the folder."""
        return {**super().describe(), **({} if self._forced is None else {"checkpoint": self._forced})}

    def _counts(self, file: str) -> bool:
        return file != _CHECKPOINT and super()._counts(file)

    def _read(self, name: str) -> str:
        place = posixpath.join(self.path, name)
        if not self.storage.exists(place):
            return ""
        with self.storage.reading(place, _TEXT) as file:
            return str(file.read()).strip()

    def _write(self, name: str, text: str) -> None:
        with self.storage.writing(posixpath.join(self.path, name), _TEXT) as file:
            file.write(text)
