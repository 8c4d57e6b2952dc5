"""CSV files as pandas frames, whole or in chunks. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import IO, Any, ClassVar, Final

from treadle.errors import DatasetError
from treadle.io.datasets.file import FileDataset

_COMPRESSIONS: Final = MappingProxyType(
    {
        ".tar": "tar",
        ".tar.gz": "tar",
        ".tar.bz2": "tar",
        ".tar.xz": "tar",
        ".gz": "gzip",
        ".bz2": "bz2",
        ".zip": "zip",
        ".xz": "xz",
        ".zst": "zstd",
    }
)
"""The compression that pandas infers from the end of a file name; the first match is used."""
_COMPRESSED_TAR: Final = MappingProxyType({".gz": ("gzip", "GzipFile"), ".bz2": ("bz2", "BZ2File"), ".xz": ("lzma", "LZMAFile")})
_APPENDABLE: Final = (None, "gzip", "bz2", "xz")
"""Compressions whose files can be concatenated."""


class CSVDataset(FileDataset):
    """A frame in a CSV file; `load_args` go to `pandas.read_csv`, `save_args` to `DataFrame.to_csv` (without the index).

    With `chunksize` or `iterator` in the `load_args`, a load returns the chunk reader of pandas, and the file stays open until
    the reader is exhausted, closed or garbage-collected. With `mode: a` in the `save_args`, a frame is appended to the file, with
    a header only if the file is new.
    """

    binary: ClassVar[bool] = True
    appendable: ClassVar[bool] = True
    compresses: ClassVar[bool] = True
    default_save_args: ClassVar[Mapping[str, Any]] = {"index": False}

    def check_arguments(self) -> None:
        """Raise if the file should be appended to, but its compression does not support that."""
        method = self._compression(self.save_args)[0]
        if self.appends and method not in _APPENDABLE:
            msg = f"A file compressed with {method!r} cannot be appended to. Use 'gzip'."
            raise DatasetError(msg)

    def read_from(self, path: str) -> Any:
        """Read the value from a path; a reader of chunks keeps the file open."""
        if not (self.load_args.get("chunksize") or self.load_args.get("iterator")):
            return super().read_from(path)
        with ExitStack() as opened:
            reader = self.read(opened.enter_context(self.storage.reading(path, self._open_load)))
            _close_with(reader, opened.pop_all())
        return reader

    def read(self, file: IO[Any]) -> Any:
        """Parse the file."""
        import pandas as pd

        method, arguments = self._compression(self.load_args)
        return pd.read_csv(file, **{**self.load_args, "compression": {"method": method, **arguments}})

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the frame."""
        method, arguments = self._compression(self.save_args)
        given = {**self.save_args, "compression": {"method": method, **self._names_within(method), **arguments}, "mode": "wb"}
        if self.appends and file.tell() > 0:
            given["header"] = False
        with _compressed(file, self.filepath) if method == "tar" and "mode" not in arguments else nullcontext(file) as target:
            data.to_csv(target, **given)

    def take_text_arguments(self, action: str, arguments: dict[str, Any], given: Mapping[str, Any]) -> None:
        """Pass `encoding` and `errors` to pandas, which decodes and encodes the file itself."""
        for key, value in given.items():
            if key == "newline":
                if value:
                    msg = f"A CSV file is not opened with `newline`. Set `lineterminator` in the `{action}_args` instead."
                    raise DatasetError(msg)
                continue
            arguments.setdefault("encoding_errors" if (key, action) == ("errors", "load") else key, value)

    def _compression(self, library_args: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Return the compression method and its arguments; pandas cannot infer them, because it gets an open file."""
        given = library_args.get("compression", "infer")
        arguments = dict(given) if isinstance(given, Mapping) else {"method": given}
        method = arguments.pop("method", None)
        if method == "infer":
            name = self.filepath.lower()
            method = next((known for suffix, known in _COMPRESSIONS.items() if name.endswith(suffix)), None)
        return method, arguments

    def _names_within(self, method: str | None) -> dict[str, Any]:
        """Return the name of the file inside a compressed one, as pandas would derive it from the path."""
        path = PurePosixPath(self.filepath.replace("\\", "/"))
        if method == "gzip":
            return {"filename": path.name}  # the module strips `.gz`
        if method == "zip":
            return {"archive_name": path.stem if path.suffix == ".zip" else path.name}
        if method == "tar":
            inner = path.stem if path.suffix in _COMPRESSED_TAR else path.name
            return {"archive_name": inner.removesuffix(".tar")}
        return {}


def _compressed(file: IO[Any], path: str) -> Any:
    """Compress a tar archive according to the suffix of its name, which pandas does only for a path."""
    kind = _COMPRESSED_TAR.get(PurePosixPath(path).suffix)
    if kind is None:
        return nullcontext(file)
    module, name = kind
    compress = getattr(importlib.import_module(module), name)
    return compress(fileobj=file, filename="", mode="wb") if module == "gzip" else compress(file, "wb")


def _close_with(reader: Any, opened: ExitStack) -> None:
    """Close a file when its chunk reader is closed, which pandas does at the end, or garbage-collected."""
    reference = weakref.ref(reader)
    close = weakref.finalize(reader, opened.close)

    def close_both() -> None:
        target = reference()
        if target is not None:
            type(target).close(target)
        close()

    reader.close = close_both
