"""Storage for files on any file system that fsspec supports.

A file is written to a temporary file and uploaded when complete. State: the file system. Neighbour: `storage` chooses between
this and the local disk.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, cast

from treadle.errors import DatasetError
from treadle.io.identity import FileIdentity, identify_remote
from treadle.io.remote_contents import remote_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from treadle.io.contents import ContentRecord
    from treadle.io.opening import OpenArguments


class RemoteStorage:
    """Files on a file system that fsspec supports.

    Args:
        address: the URL of a file or folder; the methods accept paths that begin with it.
        options: arguments of the file system, including credentials.
    """

    local = False

    def __init__(self, address: str, options: Mapping[str, Any]) -> None:
        self._address = address
        self._files, self._root = _file_system(address, dict(options))

    def reading(self, path: str, how: OpenArguments) -> contextlib.AbstractContextManager[IO[Any]]:
        """Open a file to read."""
        inner = self._inside(path)
        return cast("IO[Any]", self._files.open(inner, how.mode("r"), compression=how.compression, **how.text, **how.others))

    @contextlib.contextmanager
    def writing(self, path: str, how: OpenArguments) -> Iterator[IO[Any]]:
        """Open a file to write; it appears when the block ends without an error."""
        inner = self._inside(path)
        with tempfile.TemporaryFile() as whole:
            if how.append and self._files.exists(inner):
                with self._files.open(inner, "rb", compression=how.compression) as before:
                    shutil.copyfileobj(before, whole, 2**20)
            if how.binary:
                yield whole
            else:
                text = TextIOWrapper(whole, **cast("Any", how.text))
                yield text
                text.detach()
            whole.seek(0)
            folder = inner.rpartition("/")[0]
            if folder and not self._files.isdir(folder):
                self._files.makedirs(folder, exist_ok=True)
            with self._uploading(inner, how) as file:
                shutil.copyfileobj(whole, file, 2**20)

    def exists(self, path: str) -> bool:
        """Return whether the file or folder exists."""
        self._files.invalidate_cache()  # another process may have written since
        return bool(self._files.exists(self._inside(path)))

    def is_folder(self, path: str) -> bool:
        """Return whether the folder exists."""
        return bool(self._files.isdir(self._inside(path)))

    def names(self, path: str) -> list[str]:
        """Return the names in a folder; none if it does not exist."""
        self._files.invalidate_cache()
        folder = self._inside(path)
        if not self._files.isdir(folder):
            return []
        return [entry.rstrip("/").rpartition("/")[2] for entry in self._files.ls(folder, detail=False)]

    def files(self, path: str, depth: int | None = None, *, links: bool = True) -> list[str]:  # noqa: ARG002 - of local folders
        """Return the files in a folder and those below it, relative to it; none if it does not exist."""
        self._files.invalidate_cache()
        folder = self._inside(path).rstrip("/")
        return [entry[len(folder) :].lstrip("/") for entry in self._files.find(folder, maxdepth=depth)]

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._files.rm_file(self._inside(path))

    def identify(self, path: str) -> FileIdentity | None:
        """Return the identity of a file's content from its file system's metadata; None if that is not sufficient."""
        self._files.invalidate_cache()
        try:
            info = self._files.info(self._inside(path))
        except FileNotFoundError:
            return None
        return identify_remote(path, info)

    def content(
        self,
        blank: ContentRecord,
        path: str,
        known: ContentRecord | None,  # noqa: ARG002 - metadata is always read again
        names: Iterable[str] | None = None,
    ) -> ContentRecord | None:
        """Complete the record of a file or folder from its file system's metadata; None if there is none."""
        self._files.invalidate_cache()
        return remote_content(blank, self._files, self._inside(path), names)

    @contextlib.contextmanager
    def _uploading(self, inner: str, how: OpenArguments) -> Iterator[IO[Any]]:
        """Open a remote file to write. If the block raises, the upload is given up: closing the file would complete it."""
        from fsspec.compression import compr
        from fsspec.core import get_compression

        file = self._files.open(inner, "wb", **how.others)
        target = compr[get_compression(inner, how.compression)](file, mode="w")
        try:
            yield target
            target.close()
            file.close()
        except BaseException:
            discard = getattr(file, "discard", None)
            if callable(discard):
                discard()
            try:
                file.closed = True  # fsspec's own files do nothing more then
            except AttributeError:
                file.close()
            with contextlib.suppress(Exception):  # compressing to a file that is closed fails, as it should
                target.close()
            raise

    def _inside(self, path: str) -> str:
        """Return a path as the file system expects it; a URL may chain several file systems."""
        return f"{self._root}{path[len(self._address) :]}" if path.startswith(self._address) else path


def _file_system(address: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Return the file system of a URL, and the path of the URL on that file system.

    The option `filesystem` may give the full path of a file system class that has no protocol name in fsspec.
    """
    import fsspec.core

    class_path = options.pop("filesystem", None)
    if class_path is None:
        files, root = fsspec.core.url_to_fs(address, **options)
        return files, str(root)
    module, _, name = str(class_path).rpartition(".")
    try:
        kind: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        msg = f"The file system {class_path!r} cannot be imported: {exc}. Use the full path of a class: package.module.Class."
        raise DatasetError(msg) from exc
    if fsspec.AbstractFileSystem not in getattr(kind, "__mro__", ()):
        msg = f"The file system {class_path!r} is not a subclass of fsspec.AbstractFileSystem."
        raise DatasetError(msg)
    return kind(**options), str(kind._strip_protocol(address))  # noqa: SLF001 - fsspec's own method for this
