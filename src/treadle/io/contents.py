"""Record the content of a dataset at one time, so that a later run can tell whether it is still the same.

A `FileIdentity` says whether a file is the same unmodified file, within one run. A `ContentRecord` says whether the bytes are
the same, on any later day and on any machine: it has a hash of them, or the entity tag that a remote file system keeps. A file
whose size and times show that it was not touched since an earlier record is not hashed again.

State: while `written_files_noted` is active, the contents of the files that the current context has written. Neighbours: datasets
implement `content_record`, `remote_contents` asks remote file systems, `kedro_files` finds the files of Kedro's datasets,
`storage` notes the files that it writes.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from treadle.events import ContentRecord
from treadle.folders import walk_folder
from treadle.io.kedro_files import NoFileError, kedro_file
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "ContentRecord",
    "WrittenFile",
    "blank_record",
    "content_of",
    "digest_of",
    "folder_files",
    "is_untouched",
    "local_content",
    "note_moved",
    "note_written",
    "shown_location",
    "unverifiable",
    "written_files_noted",
]

_CLEARLY_OLDER_NS: Final = 2_000_000_000
"""How much older than a record the last change of a file must be to be trusted. Some file systems count in steps of two seconds;
it also allows for the clock of a file server that differs from the clock of this machine."""

_BLOCK: Final = 1 << 20
_READS: Final = 3
"""How often a file is read that changes while it is read."""


class WrittenFile(NamedTuple):
    """The content of a file that this process wrote, read before the file had its final name."""

    size: int
    mtime_ns: int
    digest: str
    taken_ns: int
    inode: int


_written: ContextVar[dict[str, WrittenFile] | None] = ContextVar("treadle_written_files", default=None)


def content_of(dataset: object, name: str, known: ContentRecord | None = None) -> ContentRecord | None:
    """Return the content that a load of a dataset would read now.

    Args:
        dataset: a dataset of Treadle or Kedro. One of another class may have a method `content_record` with the arguments `name`
            and `known`.
        name: its name in the catalog.
        known: an earlier record. If the file has not been touched since, the digest is taken from there and nothing is read.

    Returns:
        The record; None if there is no data. If the content cannot be verified (a database table, a dataset that raises), the
        record has no digest and says why. It never raises because of the dataset.
    """
    try:
        describe = getattr(dataset, "content_record", None)
        record: ContentRecord | None = describe(name, known) if callable(describe) else _kedro_content(dataset, name, known)
    except NoFileError as exc:
        return unverifiable(name, str(exc))
    except Exception as exc:  # noqa: BLE001 - a dataset may raise anything; the record says what, and the node runs
        return _undetermined(name, exc)
    return record


def local_content_of(name: str, path: str, known: ContentRecord | None = None) -> ContentRecord | None:
    """Return the content of a dataset that is one local file, without its dataset.

    Args:
        name: its name in the catalog.
        path: the absolute path of the file.
        known: an earlier record, as for `content_of`.

    Returns:
        What `content_of` returns.
    """
    try:
        if known is not None and known.location == path and known.version is None and _written.get() is None:
            status = _stat(path)
            if stat.S_ISREG(status.st_mode) and is_untouched(status, known):
                return known
        return local_content(blank_record(name, path), path, known)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as exc:  # noqa: BLE001 - as above, for example a file that may not be read
        return _undetermined(name, exc)


def _undetermined(name: str, exc: Exception) -> ContentRecord:
    from treadle.secrets import summary_of

    return unverifiable(name, f"Its content cannot be determined: {summary_of(exc)}")


def unverifiable(name: str, problem: str) -> ContentRecord:
    """Return the record of a dataset whose content cannot be verified.

    Args:
        name: the dataset.
        problem: why, in one sentence.
    """
    return ContentRecord(name, None, None, None, None, None, time.time_ns(), problem=problem)


def blank_record(name: str, address: str, version: str | None = None) -> ContentRecord:
    """Return a record of which only the place is known.

    Args:
        name: the dataset.
        address: path or URL of its file or folder.
        version: its version.
    """
    return ContentRecord(name, shown_location(address), version, None, None, None, None)


def shown_location(address: str) -> str:
    """Return a path, or a URL with its secrets masked."""
    if "://" not in address:
        return address
    from treadle.secrets import mask_secrets, mask_setting

    return mask_setting(mask_secrets(address))


@contextmanager
def written_files_noted() -> Iterator[None]:
    """Note the content of each local file that Treadle's storage writes inside the block.

    `content_of` inside the block returns what was written, even if another process has replaced the file since.
    """
    token = _written.set({})
    try:
        yield
    finally:
        _written.reset(token)


def note_written(path: str, descriptor: int, status: os.stat_result) -> str | None:
    """Note the content of a complete file, if `written_files_noted` is active. Called before the file is moved to its path.

    Args:
        path: the path that the file will have.
        descriptor: the open file.
        status: its attributes.

    Returns:
        a hash of the content; None if it was not noted.
    """
    written = _written.get()
    if written is None:
        return None
    digest = _digest(descriptor, status.st_size)
    written[path] = WrittenFile(status.st_size, status.st_mtime_ns, digest, time.time_ns(), status.st_ino)
    return digest


def note_moved(path: str, target: str) -> None:
    """Note that a file that was written has been moved, if `written_files_noted` is active."""
    written = _written.get()
    if written is not None and path in written:
        written[target] = written.pop(path)


def _kedro_content(dataset: object, name: str, known: ContentRecord | None) -> ContentRecord | None:
    found = kedro_file(dataset)
    if found is None:
        return None
    blank = blank_record(name, found.address, found.version)
    if found.files is None:
        return local_content(blank, found.path, known, found.names)
    from treadle.io.remote_contents import remote_content

    found.files.invalidate_cache()
    return remote_content(blank, found.files, found.path, found.names)


def local_content(
    blank: ContentRecord, path: str, known: ContentRecord | None, names: Iterable[str] | None = None
) -> ContentRecord | None:
    """Return the record of a local file or folder.

    Args:
        blank: a record with the name of the dataset, the location and the version.
        path: the file or folder.
        known: an earlier record.
        names: the files of a folder that belong to the dataset, relative to it; None for all except hidden ones.

    Returns:
        The record; None if there is no file.
    """
    if known is not None and known.location != blank.location:
        known = None
    try:
        if names is not None:
            return _folder(blank, path, sorted(names), known)
        if (written := (_written.get() or {}).get(path)) is not None:
            size, mtime_ns, digest, taken_ns, inode = written
            return blank._replace(size=size, mtime_ns=mtime_ns, digest=digest, taken_ns=taken_ns, inode=inode)
        status = _stat(path)
        if stat.S_ISDIR(status.st_mode):
            return _folder(blank, path, sorted(folder_files(path)), known)
        if not stat.S_ISREG(status.st_mode):
            return blank._replace(taken_ns=time.time_ns(), problem="It is neither a file nor a folder.")
        return _file(blank, path, status, known)
    except (FileNotFoundError, NotADirectoryError):
        return None


def folder_files(path: str) -> Iterator[str]:
    """Yield the files of a folder and those below it, relative to it, except hidden ones, which tools may create."""
    for folder, folders, files in walk_folder(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = folder[len(path) :].strip(os.sep)  # strings, not path objects: there may be thousands of files
        place = f"{inside}/" if inside else ""
        for name in files:
            if not name.startswith("."):
                yield f"{place}{name}"


def digest_of(content: bytes) -> str:
    """Return the digest of a file with this content."""
    import xxhash

    return f"xxh3:{xxhash.xxh3_128_hexdigest(content)}"


def _file(blank: ContentRecord, path: str, status: os.stat_result, known: ContentRecord | None) -> ContentRecord:
    if known is not None and is_untouched(status, known):
        return known if known.version == blank.version else known._replace(version=blank.version)
    read = _read_file(path)
    if read is None:
        return blank._replace(taken_ns=time.time_ns(), problem="It changed each time while it was read.")
    return blank._replace(**read._asdict())


def _read_file(path: str) -> WrittenFile | None:
    """Hash a file; None if it changes while it is read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(_READS):
            taken, before = time.time_ns(), os.fstat(descriptor)
            digest = _digest(descriptor, before.st_size)
            after = os.fstat(descriptor)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return WrittenFile(before.st_size, before.st_mtime_ns, digest, taken, before.st_ino)
        return None
    finally:
        os.close(descriptor)


def _folder(blank: ContentRecord, path: str, names: list[str], known: ContentRecord | None) -> ContentRecord:
    import xxhash

    taken = time.time_ns()
    statuses = [_stat(f"{path}/{name}") for name in names]
    if not all(stat.S_ISREG(status.st_mode) for status in statuses):
        return blank._replace(taken_ns=taken, problem="Its folder contains something that is not a file, such as a pipe.")
    facts = "".join(
        f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\n" for name, status in zip(names, statuses, strict=True)
    )
    listing = xxhash.xxh3_128_hexdigest(facts.encode("utf-8", "surrogateescape"))
    record = blank._replace(
        size=sum(status.st_size for status in statuses),
        mtime_ns=max((status.st_mtime_ns for status in statuses), default=None),
        taken_ns=taken,
        listing=listing,
    )
    if known is not None and known.listing == listing and all(_is_older(status, known.taken_ns) for status in statuses):
        return record._replace(digest=known.digest, problem=known.problem)
    hasher = xxhash.xxh3_128()
    written = _written.get() or {}
    for name in names:
        read = written.get(f"{path}/{name}") or _read_file(f"{path}/{name}")
        if read is None:
            return record._replace(problem=f"Its file {name} changed each time while it was read.")
        hasher.update(f"{name}\0{read.digest}\n".encode("utf-8", "surrogateescape"))
    return record._replace(digest=f"xxh3:{hasher.hexdigest()}")


def _stat(path: str) -> os.stat_result:
    return os.stat(path)  # noqa: PTH116 - `Path.stat` takes three times as long, and a run may look at ten thousand files


def is_untouched(status: os.stat_result, known: ContentRecord) -> bool:
    """Return whether a file is certainly still the one of an earlier record.

    Args:
        status: of the file.
        known: the record.
    """
    is_same = status.st_size == known.size and status.st_mtime_ns == known.mtime_ns and status.st_ino == known.inode
    return is_same and known.digest is not None and _is_older(status, known.taken_ns)


def _is_older(status: os.stat_result, taken_ns: int | None) -> bool:
    """Return whether a file was last changed clearly before a time.

    The time of the last status change counts too: it cannot be set back, so a file that was written again with the same size
    and time of modification is noticed. A link, or the folder around it, can be replaced without changing a file: the inode
    shows that.
    """
    return taken_ns is not None and max(status.st_mtime_ns, status.st_ctime_ns) + _CLEARLY_OLDER_NS < taken_ns


def _digest(descriptor: int, size: int) -> str:
    """Hash an open file from its beginning, without moving its position."""
    import xxhash

    hasher = xxhash.xxh3_128()
    block, offset = min(size + 1, _BLOCK), 0
    while content := os.pread(descriptor, block, offset):
        hasher.update(content)
        offset += len(content)
        if offset == size:  # not asked for more; a file that grows is noticed by its times
            break
    return f"xxh3:{hasher.hexdigest()}"
