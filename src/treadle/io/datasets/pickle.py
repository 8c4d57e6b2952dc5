"""Pickle files. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

import importlib
from typing import IO, TYPE_CHECKING, Any, ClassVar

from treadle.errors import DatasetError
from treadle.io.datasets.file import FileDataset

if TYPE_CHECKING:
    import os


class PickleDataset(FileDataset):
    """A value in a pickle file. Load only files that you trust, because a pickle can run any code.

    Args:
        filepath: as for every file dataset.
        backend: the module that reads and writes: `pickle`, `cloudpickle`, `joblib`, or another with `load` and `dump`.
        **arguments: as for every file dataset; `load_args` go to the backend's `load`, `save_args` to its `dump`.

    Raises:
        DatasetError: the backend cannot be imported, or has no `load` and `dump`.
    """

    binary: ClassVar[bool] = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        backend: str = "pickle",
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        version: tuple[str | None, str | None] | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: Any = None,
    ) -> None:
        super().__init__(
            filepath,
            load_args=load_args,
            save_args=save_args,
            version=version,
            credentials=credentials,
            fs_args=fs_args,
            metadata=metadata,
        )
        self.backend = backend
        try:
            module = importlib.import_module(backend)
        except ImportError as exc:
            msg = f"The pickle backend {backend!r} cannot be imported: {exc}. Install it, or use `backend: pickle`."
            raise DatasetError(msg) from exc
        if not (hasattr(module, "load") and hasattr(module, "dump")):
            msg = f"The pickle backend {backend!r} has no `load` and `dump`. Use `pickle`, `cloudpickle` or `joblib`."
            raise DatasetError(msg)

    def read(self, file: IO[Any]) -> Any:
        """Unpickle the file."""
        return importlib.import_module(self.backend).load(file, **self.load_args)

    def write(self, file: IO[Any], data: Any) -> None:
        """Pickle the value."""
        importlib.import_module(self.backend).dump(data, file, **self.save_args)

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry of this dataset."""
        return {**super().entry(), "backend": self.backend}

    def describe(self) -> dict[str, Any]:
        """Return the description of the file, and the backend."""
        return {**super().describe(), "backend": self.backend}
