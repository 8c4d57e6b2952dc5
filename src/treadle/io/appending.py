"""Save the chunks that a generator node yields: all of them or none. State: none. Neighbour: `catalog` calls it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.io.failures import guarded
from treadle.io.validation import SAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from treadle.io.dataset import Dataset
    from treadle.io.validation.checking import DatasetValidator

    _OpenChunks: TypeAlias = Callable[[], AbstractContextManager[Callable[[Any], None]]]


@contextmanager
def save_chunks(
    name: str, dataset: Dataset, save: Callable[[Any], None], validator: DatasetValidator | None = None
) -> Iterator[Callable[[Any], None]]:
    """Save chunks to a dataset.

    The file of a dataset that appends is opened once. It changes when the block ends; if the block raises, it does not change. So
    are the partitions of a dataset with a method `saving_chunks`. Any other dataset is saved chunk by chunk.

    Args:
        name: the dataset's name in the catalog.
        dataset: the dataset.
        save: checks a chunk, and saves it to a dataset that has no such method and does not append.
        validator: checks the chunks of a dataset that has such a method or appends.

    Yields:
        A function that saves one chunk.

    Raises:
        DatasetError: the file cannot be opened, written or replaced.
    """
    appends = getattr(dataset, "appends", False) is True
    open_chunks: _OpenChunks | None = dataset.appending if appends else getattr(dataset, "saving_chunks", None)  # type: ignore[attr-defined]  # it appends
    if open_chunks is None:
        yield save
        return
    opened = open_chunks()
    write = guarded("save", name, dataset, opened.__enter__)

    def write_checked(chunk: Any) -> None:
        value = chunk if validator is None else validator.check(chunk, SAVE)
        guarded("save", name, dataset, lambda: write(value))

    try:
        yield write_checked
    except BaseException as exc:
        opened.__exit__(type(exc), exc, exc.__traceback__)
        raise
    guarded("save", name, dataset, lambda: opened.__exit__(None, None, None))
