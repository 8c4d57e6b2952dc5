"""A dataset that is loaded once per process, and from memory after that.

State: the wrapped dataset, and its value after the first load or save. The value is not pickled: each process has its own
cache. Neighbours: `memory` isolates the values that it returns.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.forks import fork_safe
from treadle.io.contents import content_of
from treadle.io.dataset import Dataset, capabilities_of, describe_dataset
from treadle.io.identity import file_identity_of
from treadle.io.memory import MemoryDataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from treadle.io.contents import ContentRecord
    from treadle.io.identity import FileIdentity
    from treadle.io.memory import CopyMode

    _OpenChunks: TypeAlias = Callable[[], AbstractContextManager[Callable[[Any], None]]]


class CachedDataset(Dataset):
    """Cache the value of another dataset in memory after the first load or save.

    Args:
        dataset: the wrapped dataset: an object, or its catalog entry.
        copy_mode: how the value is isolated, as for a memory dataset.
        metadata: any data of the project about the dataset; Treadle ignores it.

    Example:
        >>> from treadle.io.memory import MemoryDataset
        >>> cached = CachedDataset(MemoryDataset([1]))
        >>> cached.load()
        [1]
    """

    def __init__(
        self, dataset: Dataset | Mapping[str, Any], copy_mode: CopyMode | str | None = None, metadata: Any = None
    ) -> None:
        if isinstance(dataset, Mapping):
            from treadle.io.recipe import DatasetRecipe

            dataset = DatasetRecipe("the wrapped dataset", dataset).build()
        self.dataset = dataset
        self.metadata = metadata
        self._copy_mode = copy_mode
        wrapped = capabilities_of(dataset)
        self.in_memory, self.main_process_only = wrapped.in_memory, wrapped.main_process_only
        self._cache = MemoryDataset(copy_mode=copy_mode)
        self._lock = fork_safe(threading.Lock())  # concurrent threads load only once

    def load(self) -> Any:
        """Return the value, from memory if it is cached."""
        with self._lock:
            if not self._cache.has_data:
                self._cache.save(self.dataset.load())
            return self._cache.load()

    def save(self, data: Any) -> None:
        """Save the value to the wrapped dataset, and cache it."""
        with self._lock:
            self._cache.release()  # after a failed save, the old value must not be cached
            self.dataset.save(data)
            if not self.appends and self.saving_chunks is None:  # saved values are only parts of what a load returns
                self._cache.save(data)

    @property
    def saving_chunks(self) -> _OpenChunks | None:
        """The method of the wrapped dataset that saves several chunks, such as partitions; None if it has none."""
        wrapped: _OpenChunks | None = getattr(self.dataset, "saving_chunks", None)
        return None if wrapped is None else partial(self._with_empty_cache, wrapped)

    def _with_empty_cache(self, open_chunks: _OpenChunks) -> AbstractContextManager[Callable[[Any], None]]:
        """Clear the cached value, as the next load reads all chunks, and open the wrapped dataset."""
        with self._lock:
            self._cache.release()
        return open_chunks()

    @property
    def appends(self) -> bool:
        """Whether saving appends to the wrapped dataset."""
        return getattr(self.dataset, "appends", False) is True

    def appending(self) -> AbstractContextManager[Callable[[Any], None]]:
        """Append to the wrapped dataset, if it `appends`; the next load reads all of it."""
        return self._with_empty_cache(self.dataset.appending)  # type: ignore[attr-defined]  # it appends

    def exists(self) -> bool:
        """Return whether there is a value."""
        return self._cache.has_data or self.dataset.exists()

    def release(self) -> None:
        """Clear the cached value; the stored data is kept."""
        self._cache.release()
        self.dataset.release()

    def confirm(self) -> None:
        """Confirm the wrapped dataset."""
        self.dataset.confirm()

    def versions(self) -> list[str] | None:
        """Return the versions of the wrapped dataset; None if it has none."""
        versions = getattr(self.dataset, "versions", None)
        return versions() if callable(versions) else None

    def load_version(self) -> str | None:
        """Return the version of the wrapped dataset that a load would read; None if it has none."""
        load_version = getattr(self.dataset, "load_version", None)
        return load_version() if callable(load_version) else None

    def file_identity(self) -> FileIdentity | None:
        """Return the identity of the content of the wrapped dataset; None if that has none."""
        return file_identity_of(self.dataset)

    def content_record(self, name: str, known: ContentRecord | None) -> ContentRecord | None:
        """Return the content of the wrapped dataset, as `contents.content_of` does."""
        return content_of(self.dataset, name, known)

    def entry(self) -> dict[str, Any]:
        """Return the catalog entry of this dataset, if the wrapped one has a method `entry`."""
        entry = {"type": "CachedDataset", "dataset": self.dataset.entry()}  # type: ignore[attr-defined]  # ours have it
        given = {"copy_mode": self._cache.copy_mode.value if self._cache.copy_mode else None, "metadata": self.metadata}
        return {**entry, **{key: value for key, value in given.items() if value is not None}}

    def describe(self) -> dict[str, Any]:
        """Return the description of the wrapped dataset, and whether its value is cached."""
        return {**describe_dataset(self.dataset), "cached": self._cache.has_data}

    def __repr__(self) -> str:
        return f"CachedDataset({self.dataset!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.dataset, self._copy_mode, self.metadata)
