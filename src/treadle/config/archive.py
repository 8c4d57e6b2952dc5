"""Read the configuration files of a zip or tar archive into memory.

State: none. Neighbour: `source.py` gives the archive the interface of a folder.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from treadle.errors import ConfigError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    import tarfile

SUFFIXES = (".yml", ".yaml", ".json")
"""Suffixes of configuration files."""

_FOREIGN = "__MACOSX"
"""The folder of a zip archive in which macOS stores its own metadata."""
_BLOCK = 512
"""Size of a block of a tar archive in bytes."""


class Contents(NamedTuple):
    """The contents of an archive, without hidden files and folders.

    Attributes:
        files: the bytes of each configuration file, by its path.
        folders: the paths of all folders, empty ones included.
    """

    files: dict[str, bytes]
    folders: frozenset[str]

    def below(self, folder: str) -> Contents:
        """Return the contents of one folder, with paths relative to it.

        Args:
            folder: its path; empty for the whole archive.
        """
        prefix = f"{folder}/" if folder else ""
        return Contents(
            {name[len(prefix) :]: data for name, data in self.files.items() if name.startswith(prefix)},
            frozenset(name[len(prefix) :] for name in self.folders if name.startswith(prefix)),
        )


def read_archive(path: Path) -> Contents:
    """Read the configuration files of a zip or tar archive.

    Args:
        path: the archive.

    Returns:
        Its contents.

    Raises:
        ConfigError: the file is not an archive, or it is damaged, incomplete or encrypted.
    """
    import lzma
    import tarfile
    import zipfile

    try:
        entries = list(_zip_entries(path) if zipfile.is_zipfile(path) else _tar_entries(path))
    except (EOFError, zlib.error, lzma.LZMAError) as exc:
        why = str(exc) or type(exc).__name__
        msg = (
            f"The archive {path} is damaged or incomplete: {why}. The copy or download may be incomplete: copy or pack it again."
        )
        raise ConfigError(msg, file=str(path)) from exc
    except (OSError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as exc:
        listed = isinstance(exc, tarfile.ReadError) and "\n" in str(exc)  # the text lists every format that tarfile tried
        why = "" if listed else f": {exc}"
        msg = f"{path} is neither a folder nor a readable zip or tar archive of configuration{why}."
        raise ConfigError(msg, file=str(path)) from exc
    files = {name: data for name, data in entries if data is not None}
    folders = {name for name, data in entries if data is None}
    parents = {parent.as_posix() for name, _ in entries for parent in PurePosixPath(name).parents}
    return Contents(files, frozenset((folders | parents) - {"."}))


def has_hidden_part(path: PurePath | str) -> bool:
    """Return whether a path has a hidden part: the file or one of its folders.

    Args:
        path: a relative path.
    """
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _zip_entries(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield folders (with None) and configuration files of a zip archive."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            entry = PurePosixPath(info.filename.replace("\\", "/").lstrip("/"))  # some Windows programs write backslashes
            folder = entry if info.is_dir() else entry.parent
            if _is_ignored(folder):
                continue
            yield folder.as_posix(), None
            if stat.S_ISLNK(info.external_attr >> 16) and (_is_config(entry) or _may_be_folder(entry)):
                target = archive.read(info).decode("utf-8", "replace")
                msg = f"{path}!/{entry} is a link to {target}. Pack the file itself: without the option --symlinks of `zip`."
                raise ConfigError(msg, file=f"{path}!/{entry}")
            if not info.is_dir() and _is_config(entry):
                if info.flag_bits & 0x1:
                    msg = f"The archive {path} is encrypted: {entry} needs a password. Pack the configuration without one."
                    raise ConfigError(msg, file=f"{path}!/{entry}")
                yield entry.as_posix(), archive.read(info)


def _tar_entries(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield folders (with None) and configuration files of a tar archive; a link to a file counts as a file.

    Raises:
        ConfigError: a link refers to a folder, whose files would be lost, or to what is not in the archive.
    """
    import tarfile

    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            entry = PurePosixPath(member.name.lstrip("/"))
            folder = entry if member.isdir() else entry.parent
            if _is_ignored(folder):
                continue
            yield folder.as_posix(), None
            if member.issym() and _may_be_folder(entry):
                _read_member(archive, member, f"{path}!/{entry}")  # raises if it is one
            elif _is_config(entry) and (member.isfile() or member.islnk() or member.issym()):
                yield entry.as_posix(), _read_member(archive, member, f"{path}!/{entry}")
        _check_end(archive)


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> bytes:
    try:
        stream = archive.extractfile(member)
    except (KeyError, RecursionError):
        stream = None
    if stream is None:
        msg = (
            f"{place} is a link to {member.linkname}, which is not a file of the archive. Pack the file itself, for example "
            "with `tar --dereference`."
        )
        raise ConfigError(msg, file=place)
    return stream.read()


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise if a tar archive is incomplete.

    `tarfile` treats anything that it cannot read as the end of the archive, such as a truncated header, and does not read a
    checksum at the end. A complete archive ends with blocks of zeros.
    """
    assert archive.fileobj is not None  # noqa: S101 - an open archive has a file object
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(_BLOCK) != bytes(_BLOCK):
        msg = "the block that marks the end of a tar archive is missing"
        raise EOFError(msg)
    while archive.fileobj.read(2**20):
        pass


def _is_ignored(folder: PurePosixPath) -> bool:
    """Return whether a folder is hidden, outside the archive (`..`), or metadata of macOS."""
    return has_hidden_part(folder) or folder.parts[:1] == (_FOREIGN,)


def _may_be_folder(entry: PurePosixPath) -> bool:
    """Return whether a link may be one to a folder, whose files would be left out silently."""
    return not entry.suffix and not entry.name.startswith(".")


def _is_config(entry: PurePosixPath) -> bool:
    return entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")
