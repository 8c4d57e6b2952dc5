"""A partitioned dataset that loads only new files: those after the checkpoint.

A load remembers the last file that it read, and `confirm` makes that file the checkpoint. If a node of the run confirms the
dataset, a load also writes the position to a file for this run beside the checkpoint. This has two reasons: the node that
confirms may run in another process, when more files may exist; and a resumed run confirms what the failed run had loaded.
`confirm` removes these files. A run that does not confirm the dataset writes nothing.

    load ── partitions after CHECKPOINT ── position: .CHECKPOINT.<run>      confirm ── the position becomes CHECKPOINT

With a checkpoint `state/days.txt`, positions are files `state/.days.txt.CHECKPOINT.<run>`: several datasets may have their
checkpoints in one folder.

State: that of a partitioned dataset, and the last partition that was read. Neighbours: `partitioned`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.datasets.partitioned import Partition, PartitionedDataset
from treadle.io.opening import OpenArguments
from treadle.io.storage import Storage, is_local, local_path

if TYPE_CHECKING:
    from treadle.io.contents import ContentRecord

_CHECKPOINT = "CHECKPOINT"
_TEXT = OpenArguments()


class IncrementalDataset(PartitionedDataset):
    """The partitions that are not confirmed yet, as a mapping of name to loaded value; empty if nothing is new.

    A partition is new if its name sorts after the checkpoint, so names should begin with a date or a number of fixed width.
    The checkpoint is the file `CHECKPOINT` in the folder; remove it to read everything again.

    Args:
        path: the folder.
        dataset: the dataset of a partition: a type, or an entry without its path.
        checkpoint: the name of the last processed partition, which overrides the stored checkpoint; an empty string loads all
            partitions; None uses the stored checkpoint. Or a mapping with `force_checkpoint`, such a name, and `filepath`, the
            file of the stored checkpoint instead of `CHECKPOINT` in the folder.
        filename_suffix: as for a partitioned dataset.
        filepath_arg: likewise.
        load_args: likewise.
        credentials: likewise.
        fs_args: likewise.
        metadata: likewise.
        run: the id of the run; set by the catalog.
        confirmed: whether a node of the run confirms the dataset; set by the catalog.

    Raises:
        DatasetError: `checkpoint` has an unknown key.
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
        self._forced, own_path = _read_checkpoint_argument(checkpoint)
        self._checkpoint_path = posixpath.join(self.path, _CHECKPOINT) if own_path is None else own_path
        self._has_own_path = own_path is not None
        name = posixpath.basename(self._checkpoint_path)
        self._position_prefix = f".{_CHECKPOINT}." if own_path is None else f".{name}.{_CHECKPOINT}."
        self._own_position = f"{self._position_prefix}{run or 'run'}"
        self._writes_position = confirmed
        self._last_read: str | None = None

    def checkpoint(self) -> str:
        """Return the name of the last confirmed partition; an empty string if there is none."""
        return self._forced if self._forced is not None else self._read(self._checkpoint_path)

    def load(self) -> dict[str, Any]:
        """Load the new partitions, and remember the last one."""
        confirmed = self.checkpoint()
        new = self._new_names(confirmed)
        values = {name: Partition(name, self._recipe(name))() for name in new}
        self._last_read = new[-1] if new else confirmed
        if self._writes_position:
            self._write(self._position_path(self._own_position), self._last_read)
        return values

    def confirm(self) -> None:
        """Set the checkpoint to the last partition that this run loaded, or else to the last that a failed run loaded.

        Raises:
            DatasetError: nothing was loaded.
        """
        positions = sorted(
            name
            for name in self._checkpoint_storage.names(posixpath.dirname(self._checkpoint_path))
            if name.startswith(self._position_prefix)
        )
        if self._own_position in positions:
            read = self._read(self._position_path(self._own_position))
        elif self._last_read is not None:
            read = self._last_read
        elif positions:
            read = self._read(self._position_path(positions[-1]))
        else:
            msg = (
                "No partition has been loaded, so none can be confirmed. Confirm it in the node that loads it, or in a later one."
            )
            raise DatasetError(msg)
        if self._forced is not None or read > self._read(self._checkpoint_path):  # a run that read fewer partitions may end later
            self._write(self._checkpoint_path, read)
        for position in positions:
            if position == self._own_position or self._read(self._position_path(position)) <= read:
                self._checkpoint_storage.remove(self._position_path(position))

    def content_record(self, name: str, known: ContentRecord | None) -> ContentRecord | None:
        """Return the content of the new partitions, which may be none, as `contents.content_of` does."""
        return self._content_of_partitions(name, known, self._new_names(self.checkpoint()))

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry of this dataset."""
        entry = super().entry()
        del entry["overwrite"]
        return entry if self._given_checkpoint is None else {**entry, "checkpoint": self._given_checkpoint}

    def describe(self) -> dict[str, Any]:
        """Return the description of the folder, and the forced checkpoint."""
        return {**super().describe(), **({} if self._forced is None else {"checkpoint": self._forced})}

    def _new_names(self, confirmed: str) -> list[str]:
        """Return the names of the partitions after a checkpoint."""
        return [name for name in self.names() if name > confirmed]

    def _counts(self, file: str) -> bool:
        return file != _CHECKPOINT and f"{self.path}/{file}" != self._checkpoint_path and super()._counts(file)

    @property
    def _checkpoint_storage(self) -> Storage:
        """The storage of the checkpoint and the position files."""
        return self._storage_for(self._checkpoint_path) if self._has_own_path else self.storage

    def _position_path(self, position: str) -> str:
        return posixpath.join(posixpath.dirname(self._checkpoint_path), position)

    def _read(self, path: str) -> str:
        if not self._checkpoint_storage.exists(path):
            return ""
        with self._checkpoint_storage.reading(path, _TEXT) as file:
            return str(file.read()).strip()

    def _write(self, path: str, text: str) -> None:
        with self._checkpoint_storage.writing(path, _TEXT) as file:
            file.write(text)


def _read_checkpoint_argument(checkpoint: str | Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """Return the name of the partition to begin after, and the path of the checkpoint file."""
    given = dict(checkpoint) if isinstance(checkpoint, Mapping) else {"force_checkpoint": checkpoint}
    forced, path = given.pop("force_checkpoint", None), given.pop("filepath", None)
    if given:
        msg = (
            f"`checkpoint` of an IncrementalDataset takes `force_checkpoint` and `filepath`, and not {next(iter(given))!r}. "
            "Partitions are compared by their names, and the checkpoint is a text file."
        )
        raise DatasetError(msg)
    address = None if path is None else os.fspath(path)
    return None if forced is None else str(forced), local_path(address) if address and is_local(address) else address
