"""The base class of file datasets: a path, a storage, versions, arguments.

A subclass defines how to read and write an open file, and whether it is binary. State: the path and the arguments; the
storage is created on first use and is not pickled. Neighbours: `storage` and `versions` below;
one module in this folder for each file format.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

from treadle.errors import DatasetError
from treadle.io.contents import blank_record, shown_location
from treadle.io.dataset import Dataset
from treadle.io.opening import OpenArguments
from treadle.io.storage import Storage, check_options, is_local, local_path, storage_for
from treadle.io.versions import all_versions, new_version, newest_version, version_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from treadle.io.contents import ContentRecord
    from treadle.io.identity import FileIdentity

_TEXT_ARGUMENTS: Final = ("encoding", "errors", "newline", "compression")
_SECRET_ARGUMENTS: Final = frozenset({"storage_options", "credentials"})


class FileDataset(Dataset):
    """A value in a file; subclass it and implement `read` and `write`.

    Args:
        filepath: a path, or a URL that fsspec supports, such as `s3://bucket/key`.
        load_args: arguments of the library that reads the file; for text files also `encoding`, `errors` and `newline`.
        save_args: arguments of the library that writes the file, likewise. `mode: a` appends, if the file format supports it.
        version: the versions to load and to save, as a pair; None in it means the newest, or a new one made from the time. None
            for an unversioned file.
        credentials: arguments of the file system with credentials.
        fs_args: other arguments of the file system; its keys `open_args_load` and `open_args_save` are for opening files.
        metadata: any data of the project about the dataset; Treadle ignores it.
    """

    binary: ClassVar[bool] = False
    appendable: ClassVar[bool] = False
    """True if several values written to one file form a valid file."""
    takes_library_args: ClassVar[bool] = True
    """False if no library is involved, so that `load_args` and `save_args` are only for opening files."""
    compresses: ClassVar[bool] = False
    """True if the library has an argument `compression`, and compresses the file itself."""
    load_encoding: ClassVar[str | None] = None
    """The default encoding for loading text files; None for UTF-8."""
    default_load_args: ClassVar[Mapping[str, Any]] = {}
    default_save_args: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        load_args: Mapping[str, Any] | None = None,
        save_args: Mapping[str, Any] | None = None,
        version: tuple[str | None, str | None] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> None:
        given = {"load_args": load_args, "save_args": save_args, "fs_args": fs_args, "metadata": metadata}
        self._given = {key: value for key, value in given.items() if value is not None}
        self._has_credentials = bool(credentials)
        address = os.fspath(filepath)
        self.filepath = local_path(address) if is_local(address) else address
        self.load_args = {**self.default_load_args, **(load_args or {})}
        self.save_args = {**self.default_save_args, **(save_args or {})}
        self.metadata = metadata
        self.main_process_only = address.startswith("memory:")  # each process has its own file system of that kind
        options = dict(fs_args or {})
        self._open_load = self._open_arguments("load", self.load_args, options.pop("open_args_load", None))
        self._open_save = self._open_arguments("save", self.save_args, options.pop("open_args_save", None))
        check_options(address, options)
        self._options = {**options, **(credentials or {})}
        self._version = version
        self._storage: Storage | None = None
        self.check_arguments()

    def check_arguments(self) -> None:
        """Raise a DatasetError if the arguments are inconsistent; a subclass may override it."""

    @abstractmethod
    def read(self, file: IO[Any]) -> Any:
        """Read the value from an open file."""

    @abstractmethod
    def write(self, file: IO[Any], data: Any) -> None:
        """Write a value to an open file."""

    @property
    def storage(self) -> Storage:
        """Where the file is stored."""
        if self._storage is None:
            self._storage = storage_for(self.filepath, self._options)
        return self._storage

    def load(self) -> Any:
        """Read the file, in the version to load."""
        return self.read_from(self.load_path())

    def save(self, data: Any) -> None:
        """Write the file atomically, in the version to save."""
        _refuse_none(data)
        with self.storage.writing(self.save_path(), self._open_save) as file:
            self.write(file, data)

    @property
    def appends(self) -> bool:
        """Whether saving appends to the file instead of replacing it."""
        return self._open_save.append

    @contextmanager
    def appending(self) -> Iterator[Callable[[Any], None]]:
        """Open the file once for any number of values. It changes when the block ends; if the block raises, it does not change.

        Yields:
            A function that writes one value.
        """

        def save(data: Any) -> None:
            _refuse_none(data)
            self.write(file, data)

        with self.storage.writing(self.save_path(), self._open_save) as file:
            yield save

    def read_from(self, path: str) -> Any:
        """Read the value from a path; a subclass overrides it if its library needs the path itself."""
        with self.storage.reading(path, self._open_load) as file:
            return self.read(file)

    def exists(self) -> bool:
        """Return whether there is a file to load."""
        if self._version is None:
            return self.storage.exists(self.filepath)
        version = self.load_version()
        return version is not None and self.storage.exists(version_path(self.filepath, version))

    def file_identity(self) -> FileIdentity | None:
        """Return the identity of the content that a load would read; None if the file does not exist."""
        try:
            path = self.load_path()
        except DatasetError:
            return None
        return self.storage.identify(path)

    def content_record(self, name: str, known: ContentRecord | None) -> ContentRecord | None:
        """Return the content that a load would read, as `contents.content_of` does; None if the file does not exist."""
        version = self.load_version()
        if self._version is not None and version is None:
            return None
        path = self.load_path()
        return self.storage.content(blank_record(name, path, version), path, known)

    def release(self) -> None:
        """Release the connection to the storage."""
        self._storage = None

    def load_version(self) -> str | None:
        """Return the version that a load would read: the requested one, this run's own, or the newest; None if there is none."""
        if self._version is None:
            return None
        wanted, own = self._version
        if wanted is not None:
            return wanted
        if own is not None and self.storage.exists(version_path(self.filepath, own)):
            return own
        return newest_version(self.storage, self.filepath)

    def versions(self) -> list[str] | None:
        """Return the existing versions, the newest first; None if the dataset is not versioned."""
        return None if self._version is None else all_versions(self.storage, self.filepath)

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry of this dataset.

        Raises:
            DatasetError: it was created with credentials, which an entry can only refer to by name.
        """
        if self._has_credentials:
            msg = (
                f"{self!r} was created with credentials, which a catalog entry cannot contain. Declare it in the catalog's "
                "configuration."
            )
            raise DatasetError(msg)
        kind = type(self)
        entry: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}", "filepath": self.filepath, **self._given}
        return {**entry, "versioned": True} if self._version is not None else entry

    def load_path(self) -> str:
        """Return the path that a load would read.

        Raises:
            DatasetError: the dataset is versioned and has no version yet.
        """
        if self._version is None:
            return self.filepath
        version = self.load_version()
        if version is None:
            msg = f"There is no version in {self._shown_path()} yet. Run the node that saves this dataset first."
            raise DatasetError(msg)
        return version_path(self.filepath, version)

    def save_path(self) -> str:
        """Return the path that a save would write.

        Raises:
            DatasetError: the dataset is versioned, and its path is a file instead of a folder of versions.
        """
        if self._version is None:
            return self.filepath
        if not self.storage.is_folder(self.filepath) and self.storage.exists(self.filepath):
            msg = f"{self._shown_path()} is a file, but this versioned dataset needs a folder of versions. Move the file first."
            raise DatasetError(msg)
        wanted, own = self._version
        if own is None:
            own = new_version()
            self._version = wanted, own
        return version_path(self.filepath, own)

    def describe(self) -> dict[str, Any]:
        """Return the path, the arguments and the version."""
        facts: dict[str, Any] = {"filepath": self._shown_path()}
        for name, arguments in (("load_args", self.load_args), ("save_args", self.save_args)):
            shown = {key: value for key, value in arguments.items() if key not in _SECRET_ARGUMENTS}
            if shown:
                facts[name] = shown
        if self._version is not None:
            facts["version"] = {"load": self._version[0], "save": self._version[1]}
        return facts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown_path()!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_storage": None}

    def _shown_path(self) -> str:
        return shown_location(self.filepath)

    def take_text_arguments(self, action: str, arguments: dict[str, Any], given: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Pass `encoding`, `errors` and `newline` of a binary file to the library, in subclasses whose library has them.

        Args:
            action: `load` or `save`.
            arguments: the library's arguments, to be changed.
            given: the arguments in `open_args_load` or `open_args_save`.

        Raises:
            DatasetError: the file is not text.
        """
        key = next(iter(given))
        msg = f"{type(self).__name__} has binary files: {key!r} in `open_args_{action}` would have no effect. Remove it."
        raise DatasetError(msg)

    def _open_arguments(self, action: str, arguments: dict[str, Any], more: Mapping[str, Any] | None) -> OpenArguments:
        """Separate the arguments for opening a file from those of the library."""
        if not arguments and not more:  # most datasets; a catalog may have thousands
            return _plain_arguments(self.binary, self.load_encoding if action == "load" and not self.binary else None)
        found: dict[str, Any] = {} if self.binary else {key: arguments.pop(key) for key in _TEXT_ARGUMENTS if key in arguments}
        found.update(more or {})
        append = self._take_mode(action, arguments, found)
        if self.compresses and "compression" in found:
            arguments.setdefault("compression", found.pop("compression"))
        if self.binary and (texts := {key: found.pop(key) for key in _TEXT_ARGUMENTS[:3] if found.get(key) is not None}):
            self.take_text_arguments(action, arguments, texts)
        if not self.takes_library_args and arguments:
            msg = f"{type(self).__name__} has no `{action}_args` {next(iter(arguments))!r}; it has {', '.join(_TEXT_ARGUMENTS)}."
            raise DatasetError(msg)
        if action == "load" and not self.binary:
            found.setdefault("encoding", self.load_encoding)
        local = is_local(self.filepath)
        others = {key: found.pop(key) for key in sorted(set(found) - {*_TEXT_ARGUMENTS, *(("buffering",) if local else ())})}
        if others and local:
            known = ", ".join((*_TEXT_ARGUMENTS, "buffering", "mode"))
            msg = f"A local file cannot be opened with {next(iter(others))!r} (`open_args_{action}`); the arguments are {known}."
            raise DatasetError(msg)
        compression = found.get("compression")
        if not isinstance(compression, (str, type(None))) or (compression is not None and "buffering" in found):
            msg = (
                f"`compression` of a {type(self).__name__} must be a name such as 'gzip', without `buffering`; "
                f"it is {compression!r}."
            )
            raise DatasetError(msg)
        return OpenArguments(binary=self.binary, append=append, others=others, **found)

    def _take_mode(self, action: str, arguments: dict[str, Any], found: dict[str, Any]) -> bool:
        """Remove the mode from the arguments, and return whether it means appending."""
        mode = str(found.pop("mode", ""))
        if action == "save" and self.appendable and "mode" in arguments:
            mode = str(arguments.pop("mode"))
        if not set(mode) <= set("rbt" if action == "load" else "wabt"):
            msg = f"A file cannot be opened with the mode {mode!r} to {action} it. Omit `mode`, or use 'a' to append."
            raise DatasetError(msg)
        if "a" not in f"{mode}{arguments.get('mode', '')}":
            return False
        if not self.appendable:
            msg = (
                f"{type(self).__name__} writes whole files and cannot append. Save each part as a separate dataset, or save the "
                "parts with a PartitionedDataset."
            )
            raise DatasetError(msg)
        return True


def _refuse_none(data: Any) -> None:
    if data is None:
        msg = "None cannot be saved. The function of the node probably lacks a return statement."
        raise DatasetError(msg)


@cache
def _plain_arguments(binary: bool, encoding: str | None) -> OpenArguments:  # noqa: FBT001 - the key of a cache
    return OpenArguments(binary=binary, encoding=encoding)
