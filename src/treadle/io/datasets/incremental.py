"""A folder of files of which only the new ones are loaded: those after the checkpoint.

Loading remembers the last file, and confirming makes that the checkpoint. If a node of the run confirms the dataset, a
load also writes a note, a file for this run beside the checkpoint, because the node that confirms may run in another
process, and other files may have been added; a run that is resumed after a failure confirms what the failed one had
loaded. Confirming removes the notes. A run that confirms nothing writes nothing.

    load ── partitions after CHECKPOINT ── note: .CHECKPOINT.<run>      confirm ── the note becomes CHECKPOINT

State: that of a partitioned dataset, and how far it has read. Neighbours: `partitioned`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Any

from treadle.errors import DatasetError
from treadle.io.datasets.partitioned import Partition, PartitionedDataset
from treadle.io.storage import OpenArguments, Storage, is_local, local_path

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
            the empty text for none; None for what is kept. Or a mapping: `force_checkpoint` is such a name, `filepath` the file
            that keeps the checkpoint, in place of `CHECKPOINT` in the folder.
        filename_suffix: as for a partitioned dataset.
        filepath_arg: likewise.
        load_args: likewise.
        credentials: likewise.
        fs_args: likewise.
        metadata: likewise.
        run: the run that reads; the catalog gives it.
        confirmed: whether a node of that run confirms the dataset; the catalog gives it.

    Raises:
        DatasetError: `checkpoint` has a key that is not known.
    """

    def __init__(  # noqa: PLR0913 - one argument a key of the entry
        self,
        path: str | os.PathLike[str],
        dataset: str | type[Any] | Mapping[str, Any],
        *,
        checkpoint: str | Mapping[str, Any] | None = None,
        filename_suffix: str = "",
        filepath_arg: str = "filepath",
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Any = None,
        run: str | None = None,
        confirmed: bool = True,
    ) -> None:
        super().__init__(
            path,
            dataset,
            filename_suffix=filename_suffix,
            filepath_arg=filepath_arg,
            load_args=load_args,
            credentials=credentials,
            fs_args=fs_args,
            metadata=metadata,
        )
        self._given_checkpoint = checkpoint
        self._forced, place = _read_checkpoint_argument(checkpoint)
        self._place = posixpath.join(self.path, _CHECKPOINT) if place is None else place
        self._is_elsewhere = place is not None
        self._own_note = f"{_NOTE}{run or 'run'}"
        self._writes_note = confirmed
        self._has_read: str | None = None

    def checkpoint(self) -> str:
        """Return the name of the last partition that is done, the empty text for none."""
        return self._forced if self._forced is not None else self._read(self._place)

    def load(self) -> dict[str, Any]:
        """Return the new partitions, loaded, and remember how far this run has read."""
        done = self.checkpoint()
        new = [name for name in self.names() if name > done]
        values = {name: Partition(name, self._recipe(name))() for name in new}
        self._has_read = new[-1] if new else done
        if self._writes_note:
            self._write(self._note_path(self._own_note), self._has_read)
        return values

    def confirm(self) -> None:
        """Make the checkpoint of what this run has loaded, or of what the last run loaded that did not come to its end.

        Raises:
            DatasetError: nothing was loaded.
        """
        notes = sorted(name for name in self._notes.names(posixpath.dirname(self._place)) if name.startswith(_NOTE))
        if self._own_note in notes:
            read = self._read(self._note_path(self._own_note))
        elif self._has_read is not None:
            read = self._has_read
        elif notes:
            read = self._read(self._note_path(notes[-1]))
        else:
            msg = "Nothing of it was loaded that could be confirmed. Confirm it in the node that loads it, or in one after it."
            raise DatasetError(msg)
        if self._forced is not None or read > self._read(self._place):  # a run that read less may end later
            self._write(self._place, read)
        for note in notes:
            if note == self._own_note or self._read(self._note_path(note)) <= read:
                self._notes.remove(self._note_path(note))

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry that makes this dataset."""
        entry = super().entry()
        del entry["overwrite"]
        return entry if self._given_checkpoint is None else {**entry, "checkpoint": self._given_checkpoint}

    def describe(self) -> dict[str, Any]:
        """Return the facts of the folder."""
        return {**super().describe(), **({} if self._forced is None else {"checkpoint": self._forced})}

    def _counts(self, file: str) -> bool:
        return file != _CHECKPOINT and super()._counts(file)

    @property
    def _notes(self) -> Storage:
        """Where the checkpoint and the notes lie."""
        return self._storage_for(self._place) if self._is_elsewhere else self.storage

    def _note_path(self, note: str) -> str:
        return posixpath.join(posixpath.dirname(self._place), note)

    def _read(self, place: str) -> str:
        if not self._notes.exists(place):
            return ""
        with self._notes.reading(place, _TEXT) as file:
            return str(file.read()).strip()

    def _write(self, place: str, text: str) -> None:
        with self._notes.writing(place, _TEXT) as file:
            file.write(text)


def _read_checkpoint_argument(checkpoint: str | Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """Return the name of the partition to begin after, and the file that keeps the checkpoint."""
    given = dict(checkpoint) if isinstance(checkpoint, Mapping) else {"force_checkpoint": checkpoint}
    forced, place = given.pop("force_checkpoint", None), given.pop("filepath", None)
    if given:
        msg = (
            f"`checkpoint` of an IncrementalDataset takes `force_checkpoint` and `filepath`, and not {next(iter(given))!r}. "
            "Partitions are compared by their names, and the checkpoint is a text file."
        )
        raise DatasetError(msg)
    address = None if place is None else os.fspath(place)
    return None if forced is None else str(forced), local_path(address) if address and is_local(address) else address
