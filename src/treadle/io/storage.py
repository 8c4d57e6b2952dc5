"""Storage for files: the local disk; `remote_storage` has the file systems that fsspec supports.

A local file is written under a temporary name and moved to its final name when complete, so that no reader sees a partial file
and a failed save keeps the old one. It is not flushed to the disk (fsync(2)) before: that takes four times as long for a small
file and twice as long for a large one, and a file that a power failure leaves incomplete does not match its content record.

State: the attributes of local files that were just saved. Neighbours: `datasets.file` reads and writes files with it; `versions`
looks for versions.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, cast

from treadle.errors import DatasetError
from treadle.folders import walk_folder
from treadle.io.contents import local_content, note_written
from treadle.io.identity import FileIdentity, SavedFile, identify_local, stat_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from treadle.io.contents import ContentRecord
    from treadle.io.opening import OpenArguments

_LOCAL_PREFIXES: Final = ("file://", "local://")
_LOCAL_OPTIONS: Final = frozenset(
    {"auto_mkdir", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
)
"""Options of fsspec's local file system, which are accepted but have no effect: folders are always created, nothing is cached."""


class Storage(Protocol):
    """A file system for the files of datasets."""

    @property
    def local(self) -> bool:
        """True if paths are local paths."""

    def reading(self, path: str, how: OpenArguments) -> contextlib.AbstractContextManager[IO[Any]]:
        """Open a file to read."""

    def writing(self, path: str, how: OpenArguments) -> contextlib.AbstractContextManager[IO[Any]]:
        """Open a file to write, or to append to; it appears when the block ends without an error."""

    def exists(self, path: str) -> bool:
        """Return whether the file or folder exists."""

    def is_folder(self, path: str) -> bool:
        """Return whether the folder exists."""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder; none if it does not exist."""

    def files(self, path: str, depth: int | None = None, *, links: bool = True) -> list[str]:
        """Return the files in a folder and those below it, relative to it, with slashes; none if it does not exist.

        Hidden folders may be left out.

        Args:
            path: the folder.
            depth: the number of levels to list, of which the folder itself is the first; None for all.
            links: whether to list the files of folders that are symbolic links.
        """

    def remove(self, path: str) -> None:
        """Remove a file."""

    def identify(self, path: str) -> FileIdentity | None:
        """Return the identity of a file's content: as this object has just saved it, or else as it is now."""

    def content(
        self, blank: ContentRecord, path: str, known: ContentRecord | None, names: Iterable[str] | None = None
    ) -> ContentRecord | None:
        """Complete the record of a file or folder; None if there is none.

        Args:
            blank: a record with the name of the dataset, the location and the version.
            path: the file or folder.
            known: an earlier record, to save reading a file that was not touched since.
            names: the files of a folder that belong to the dataset, relative to it; None for all.
        """


class LocalStorage:
    """Local files."""

    local = True

    def __init__(self) -> None:
        self._saved: dict[str, SavedFile] = {}  # until they are identified

    def reading(self, path: str, how: OpenArguments) -> contextlib.AbstractContextManager[IO[Any]]:
        """Open a file to read."""
        return _open(path, "r", how)

    @contextlib.contextmanager
    def writing(self, path: str, how: OpenArguments) -> Iterator[IO[Any]]:
        """Open a file to write; it appears when the block ends without an error."""
        from treadle.io.temporary import TemporaryFile, file_to_replace

        target, mode = file_to_replace(path)
        if mode is not None and not stat.S_ISREG(mode):  # a pipe or a device cannot be replaced
            with _open(target, "a" if how.append else "w", how) as file:
                yield file
            return
        if how.append or how.compression is not None:  # these open files by their paths, in which a link may be changed
            target = os.path.realpath(target)
        with TemporaryFile(target) as temporary:
            descriptor = temporary.descriptor
            if how.append and mode is not None:
                shutil.copyfile(target, temporary.path)
            place = descriptor if how.compression is None else temporary.path
            with _open(place, "a" if how.append else "w", how, closes=False) as file:
                yield file
            if mode is not None and stat.S_IMODE(mode) != temporary.mode:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            os.close(os.dup(descriptor))  # network file systems write the file, and report a full disk, when it is closed
            status = os.fstat(descriptor)  # of this file, even if another process replaces it next
            digest = note_written(path, descriptor, status)
            temporary.replace_target()
            self._saved[path] = SavedFile(stat_facts(status), digest)

    def exists(self, path: str) -> bool:
        """Return whether the file or folder exists."""
        return _mode(path) is not None

    def is_folder(self, path: str) -> bool:
        """Return whether the folder exists."""
        mode = _mode(path)
        return mode is not None and stat.S_ISDIR(mode)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder; none if it does not exist."""
        return os.listdir(path) if self.is_folder(path) else []  # noqa: PTH208 - a path object takes several times as long

    def files(self, path: str, depth: int | None = None, *, links: bool = True) -> list[str]:
        """Return the files in a folder and those below it, relative to it; none if it does not exist."""
        found: list[str] = []
        for folder, folders, names in walk_folder(path, strict=True):
            inside = folder[len(path) :].strip(os.sep)
            place, level = (f"{inside}/", inside.count(os.sep) + 2) if inside else ("", 1)
            # Another process may remove its temporary folder at any time.
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".")
                and (depth is None or level < depth)
                and (links or not os.path.islink(f"{folder}/{name}"))  # noqa: PTH114 - strings: there may be thousands of files
            ]
            # A broken link counts: loading it is an error, while leaving it out would change results silently.
            found += [f"{place}{name}" for name in names if _is_file_or_link(f"{folder}/{name}")]
        return found

    def remove(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink()

    def identify(self, path: str) -> FileIdentity | None:
        """Return the identity of a file's content: as this object has just saved it, or else as it is now."""
        return identify_local(path, self._saved.pop(path, None))

    def content(
        self, blank: ContentRecord, path: str, known: ContentRecord | None, names: Iterable[str] | None = None
    ) -> ContentRecord | None:
        """Complete the record of a file or folder; None if there is none."""
        return local_content(blank, path, known, names)


def _mode(path: str) -> int | None:
    """Return the mode of a file or folder; None if there is none.

    Raises:
        OSError: it cannot be determined, for example because a folder may not be searched.
    """
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - `Path.stat` takes three times as long
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None


def is_local(address: str) -> bool:
    """Return whether an address (a path or a URL) is a local path."""
    return address.startswith(_LOCAL_PREFIXES) or (
        "://" not in address and "::" not in address and not address.startswith("memory:")
    )


def split_prefix(address: str) -> tuple[str, str]:
    """Split a local address into its prefix, such as `file://`, which is empty for a plain path, and the path."""
    prefix = next((each for each in _LOCAL_PREFIXES if address.startswith(each)), "") if "://" in address else ""
    return prefix, address[len(prefix) :]


def local_path(address: str) -> str:
    """Return the absolute path of a local address."""
    address = split_prefix(address)[1]
    if address.startswith("~"):
        address = str(Path(address).expanduser())
    return os.path.abspath(address)  # noqa: PTH100 - four times as fast as `Path.absolute`, and also removes `..`


def check_options(address: str, options: Mapping[str, Any]) -> None:
    """Raise if options of a file system would have no effect, because the address is a local path.

    Args:
        address: a path or a URL.
        options: `fs_args` of a catalog entry, without the arguments for opening files.

    Raises:
        DatasetError: an option is not known for local files.
    """
    if not is_local(address):
        return
    for key, value in options.items():
        if key not in _LOCAL_OPTIONS or (key == "auto_mkdir" and not value):
            msg = (
                f"The file system of local files has no option `{key}: {value}` (`fs_args`). Remove it, or check the path "
                f"{address}: a remote one begins with a protocol, such as s3://."
            )
            raise DatasetError(msg)


def storage_for(address: str, options: Mapping[str, Any]) -> Storage:
    """Return the storage of an address.

    Args:
        address: a path or a URL.
        options: arguments of a remote file system, including credentials.

    Returns:
        the storage.
    """
    if is_local(address):
        return LocalStorage()
    from treadle.io.remote_storage import RemoteStorage

    return RemoteStorage(address, options)


def _is_file_or_link(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:  # another process has removed it
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _open(file: str | int, letter: str, how: OpenArguments, *, closes: bool = True) -> contextlib.AbstractContextManager[IO[Any]]:
    """Open a local file by its path, or by a descriptor unless it is compressed.

    Args:
        file: the path or the descriptor.
        letter: the mode: `r`, `w` or `a`.
        how: the other arguments.
        closes: whether the descriptor is closed with the file.
    """
    if how.compression is None:
        return open(file, how.mode(letter), how.buffering, closefd=closes, **cast("Any", how.text))
    import fsspec

    return cast("IO[Any]", fsspec.open(file, how.mode(letter), compression=how.compression, **how.text))


def local_file_of(dataset: object) -> str | None:
    """Return the absolute path of the local file or folder of a dataset object; None if it has none.

    Args:
        dataset: a file dataset of Treadle or of Kedro, or one that has its path in an attribute of the same name.
    """
    path = next((value for name in ("filepath", "_filepath", "path", "_path") if (value := getattr(dataset, name, None))), None)
    if getattr(dataset, "_protocol", "file") not in ("file", "local") or not isinstance(path, (str, os.PathLike)):
        return None
    return local_path(address) if is_local(address := os.fspath(path)) else None
