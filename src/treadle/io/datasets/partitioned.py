"""A folder of files as one dataset: a mapping of partition to value.

State: the folder, the template of a partition's dataset, and the partitions that this object wrote. Neighbours: `storage` lists
the folder, `recipe` builds the dataset of each partition, `incremental` loads only new partitions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.contents import blank_record, shown_location
from treadle.io.dataset import Dataset
from treadle.io.paths import is_process_bound
from treadle.io.recipe import DatasetRecipe
from treadle.io.staging import staged_files
from treadle.io.storage import Storage, check_options, is_local, local_path, storage_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.io.contents import ContentRecord
    from treadle.io.identity import FileIdentity

_OPENING: Final = frozenset({"open_args_load", "open_args_save"})


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition that is not loaded yet. Call it to load its value. It can be pickled.

    Attributes:
        name: the path within the folder, without the suffix.
        recipe: the recipe of its dataset.
    """

    name: str
    recipe: DatasetRecipe

    def __call__(self) -> Any:
        """Load the partition."""
        return self.recipe.build().load()

    def __repr__(self) -> str:
        return f"Partition({self.name!r})"


class PartitionedDataset(Dataset):
    """The files of a folder as partitions: a mapping of name to partition, loaded when it is called.

    To save, pass a mapping of name to value, or to a function that returns the value; the functions are called one by one, so
    that only one partition is in memory. Classes and other callable objects are values. Files and folders whose names begin with
    a dot or an underscore are ignored.

    Args:
        path: the folder, a path or a URL that fsspec supports.
        dataset: the dataset of a partition: a type such as `pandas.CSVDataset`, or an entry without its path.
        filename_suffix: the suffix of partition files, such as `.csv`; it is not part of a partition's name.
        filepath_arg: the name of that dataset's argument for the path.
        overwrite: whether saving removes the existing partitions.
        save_lazily: None calls functions to get the values; False saves the functions themselves; True calls every callable
            object, as Kedro does.
        load_args: only `maxdepth`, the number of folder levels to search for partitions.
        credentials: arguments of the file system with credentials; also used for partitions whose entry has none.
        fs_args: other arguments of the file system; likewise.
        metadata: any data of the project about the dataset; Treadle ignores it.

    Example:
        >>> from tempfile import mkdtemp
        >>> parts = PartitionedDataset(mkdtemp(), "text.TextDataset", filename_suffix=".txt")
        >>> parts.save({"2024/may": "sun", "2024/june": lambda: "rain"})
        >>> {name: load() for name, load in parts.load().items()}
        {'2024/june': 'rain', '2024/may': 'sun'}
    """

    def __init__(  # noqa: PLR0913 - one argument a key of the entry
        self,
        path: str | os.PathLike[str],
        dataset: str | type[Any] | Mapping[str, Any],
        *,
        filename_suffix: str = "",
        filepath_arg: str = "filepath",
        overwrite: bool = False,
        save_lazily: bool | None = None,
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> None:
        address = os.fspath(path)
        self.path = local_path(address) if is_local(address) else address.rstrip("/")
        self.metadata = metadata
        self.main_process_only = is_process_bound(address)
        self._template: dict[str, Any] = {"type": dataset} if isinstance(dataset, (str, type)) else dict(dataset)
        self._suffix, self._filepath_arg, self._overwrite = filename_suffix, filepath_arg, overwrite
        if filepath_arg in self._template:
            msg = f"The dataset of a partition must not have {filepath_arg!r}, which is set to the path of the partition."
            raise DatasetError(msg)
        if self._template.get("versioned"):
            msg = "Partitions cannot be versioned. Put the run's date or id into their names instead."
            raise DatasetError(msg)
        for key, value in (("credentials", credentials), ("fs_args", fs_args)):
            if value:
                self._template.setdefault(key, dict(value))
        self._has_credentials = bool(self._template.get("credentials"))
        check_options(address, {key: value for key, value in (fs_args or {}).items() if key not in _OPENING})
        self._options = {**(fs_args or {}), **(credentials or {})}
        self._save_lazily = save_lazily
        self._depth = _read_depth(load_args)
        self._written: set[str] = set()
        self._storage: Storage | None = None

    @property
    def storage(self) -> Storage:
        """The storage of the folder."""
        if self._storage is None:
            self._storage = self._storage_for(self.path)
        return self._storage

    def _storage_for(self, address: str) -> Storage:
        return storage_for(address, {key: value for key, value in self._options.items() if key not in _OPENING})

    def names(self, *, links: bool = True) -> list[str]:
        """Return the names of the existing partitions, sorted.

        Args:
            links: whether those in folders that are symbolic links count.
        """
        files = [file for file in self.storage.files(self.path, self._depth, links=links) if self._counts(file)]
        return sorted(file.removesuffix(self._suffix) for file in files)

    def load(self) -> dict[str, Any]:
        """Return the partitions by name; call one to load its value.

        Raises:
            DatasetError: there are no partitions.
        """
        names = self.names()
        if not names:
            ending = f" that ends with {self._suffix!r}" if self._suffix else ""
            msg = f"There is no partition in {shown_location(self.path)}{ending}."
            raise DatasetError(msg)
        return {name: Partition(name, self._recipe(name)) for name in names}

    def save(self, data: Any) -> None:
        """Save partitions by name.

        Local partitions appear in the folder when all are written; if the save fails, the folder stays as it was.

        Raises:
            DatasetError: the data is not a mapping, or a name would be outside the folder.
        """
        with self.saving_chunks() as save:
            save(data)

    @contextmanager
    def saving_chunks(self) -> Iterator[Callable[[Any], None]]:
        """Save several mappings, such as the chunks of a generator node; the partitions appear together when the block ends.

        Remote partitions, and those that are appended to, appear one by one.

        Yields:
            A function that saves one mapping.
        """
        saved: set[str] = set()
        with ExitStack() as stack:
            if self.storage.local and not self._appends():
                folder = str(stack.enter_context(staged_files(self.path, lambda: map(self._file, self._obsolete(saved)))))
            else:
                folder = self.path

            def save(data: Any) -> None:
                self._check(data)
                for name, value in data.items():
                    self._recipe(name, folder).build().save(value() if self._is_lazy(value) else value)
                    saved.add(name)

            yield save
        if folder == self.path:
            for name in self._obsolete(saved):
                self.storage.remove(self._file(name))
        self._written |= saved

    def _check(self, data: Any) -> None:
        """Raise if a value cannot be saved, before any of it is."""
        if not isinstance(data, Mapping):
            msg = f"A partitioned dataset saves a mapping of partition to value, not {type(data).__name__}."
            raise DatasetError(msg)
        for name in data:
            if not isinstance(name, str) or not name or not self._counts(f"{name}{self._suffix}"):
                msg = (
                    f"{name!r} cannot be the name of a partition. It must be a path within the folder, such as '2024/may', "
                    "without parts that begin with a dot or an underscore."
                )
                raise DatasetError(msg)

    def _obsolete(self, saved: set[str]) -> list[str]:
        """Return the partitions that saving removes: those of its own that this object did not write, if it overwrites."""
        return sorted(set(self.names(links=False)) - self._written - saved) if self._overwrite else []

    def _appends(self) -> bool:
        """Return whether saving appends to the existing partitions."""
        return getattr(self._recipe("any").build(), "appends", False) is True

    def exists(self) -> bool:
        """Return whether there are any partitions."""
        return bool(self.names())

    def file_identity(self) -> FileIdentity | None:
        """Return the identity of the files of all partitions; None if the folder is remote."""
        return self.storage.identify(self.path) if self.storage.local else None

    def content_record(self, name: str, known: ContentRecord | None) -> ContentRecord | None:
        """Return the content of all partitions, as `contents.content_of` does; None if there are none."""
        names = self.names()
        return self._content_of_partitions(name, known, names) if names else None

    def _content_of_partitions(self, name: str, known: ContentRecord | None, names: list[str]) -> ContentRecord | None:
        files = [f"{each}{self._suffix}" for each in names]
        return self.storage.content(blank_record(name, self.path), self.path, known, files)

    def release(self) -> None:
        """Release the connection to the storage."""
        self._storage = None

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
        given = {
            "filename_suffix": self._suffix,
            "filepath_arg": self._filepath_arg,
            "overwrite": self._overwrite,
            "save_lazily": self._save_lazily,
            "load_args": None if self._depth is None else {"maxdepth": self._depth},
            "fs_args": self._options or None,
            "metadata": self.metadata,
        }
        entry = {"type": f"{kind.__module__}.{kind.__qualname__}", "path": self.path, "dataset": dict(self._template)}
        return {**entry, **{key: value for key, value in given.items() if value is not None}}

    def describe(self) -> dict[str, Any]:
        """Return the folder, and the type and suffix of partitions."""
        return {"path": shown_location(self.path), "dataset": str(self._template["type"]), "filename_suffix": self._suffix}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_location(self.path)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_storage": None}

    def _is_lazy(self, value: Any) -> bool:
        if self._save_lazily is None:
            return isinstance(value, _LAZY_TYPES)
        return self._save_lazily and callable(value)

    def _counts(self, file: str) -> bool:
        # Such names belong to temporary files and to files of tools.
        return file.endswith(self._suffix) and not any(part.startswith((".", "_")) or not part for part in file.split("/"))

    def _file(self, name: str, folder: str | None = None) -> str:
        return f"{folder or self.path}/{name}{self._suffix}"

    def _recipe(self, name: str, folder: str | None = None) -> DatasetRecipe:
        return DatasetRecipe(f"partition {name}", {**self._template, self._filepath_arg: self._file(name, folder)})


_LAZY_TYPES: Final = (Partition, partial, FunctionType, BuiltinFunctionType, MethodType)
"""Types of values that are called by default. Other callable objects, such as models, are saved."""


def _read_depth(load_args: Mapping[str, Any] | None) -> int | None:
    """Return the `maxdepth` of the `load_args`.

    Raises:
        DatasetError: there is another argument, or `maxdepth` is not a positive integer.
    """
    arguments = dict(load_args or {})
    depth = arguments.pop("maxdepth", None)
    if arguments:
        msg = (
            f"The `load_args` of a partitioned dataset have only `maxdepth`, not {next(iter(arguments))!r}. Put arguments for "
            "reading a partition into the entry under `dataset`."
        )
        raise DatasetError(msg)
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        msg = f"`maxdepth` is the number of folder levels to search. It must be an integer of at least 1, not {depth!r}."
        raise DatasetError(msg)
    return depth
