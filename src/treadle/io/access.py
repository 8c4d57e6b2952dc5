"""Use the datasets of a catalog by name: load, save, confirm, release, and look for what is saved.

Each method builds the dataset on first use, and its errors name the dataset. Finding and building datasets is in `catalog`, whose
class inherits from this one. State: none besides the catalog's. Neighbours: `failures` writes the error messages, `appending`
saves chunks.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.failures import guarded
from treadle.io.validated import ValidatedDatasets
from treadle.io.validation import LOAD, SAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from treadle.io.dataset import Dataset
    from treadle.io.identity import FileIdentity
    from treadle.io.validation.checking import DatasetValidator
    from treadle.io.validation.results import ValidationResult


_STORED: Final = object()
"""Instead of a value: load it."""


class DatasetAccess(ValidatedDatasets):
    """The methods of a catalog that use its datasets."""

    @abstractmethod
    def __getitem__(self, name: str) -> Dataset:
        """Return a dataset."""

    @abstractmethod
    def __contains__(self, name: object) -> bool:
        """Return whether there is a dataset of this name."""

    def load(self, name: str) -> Any:
        """Load a dataset, and check the value with its validator.

        Returns:
            The value; the validator may have converted it.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DataValidationError: its validator refuses the value.
            DatasetError: it cannot be built or loaded.
        """
        dataset = self[name]
        data = guarded("load", name, dataset, dataset.load)
        validator = self.validator(name)
        return data if validator is None else validator.check(data, LOAD)

    def save(self, name: str, data: Any) -> None:
        """Check a value with the validator of a dataset, and save it.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DataValidationError: its validator refuses the value; nothing was saved.
            DatasetError: the value is None, or the dataset cannot be built or saved.
        """
        dataset = self[name]
        if data is None and not getattr(dataset, "saves_none", False):
            msg = (
                f"Dataset {name!r} cannot save None. The function of the node probably lacks a return statement. If it should "
                "return nothing, declare the node without this output."
            )
            raise DatasetError(msg, dataset=name)
        validator = self.validator(name)
        value = data if validator is None else validator.check(data, SAVE)
        guarded("save", name, dataset, lambda: dataset.save(value))

    def appending(self, name: str) -> AbstractContextManager[Callable[[Any], None]]:
        """Return a context in which the chunks that a node yields for a dataset are saved (`appending.save_chunks`).

        Its validator checks each chunk.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: it cannot be built; in the context: it cannot be saved.
        """
        from treadle.io.appending import save_chunks

        return save_chunks(name, self[name], partial(self.save, name), self.validator(name))

    def validate(self, name: str, data: Any = _STORED, *, on: str = LOAD) -> ValidationResult:
        """Check a dataset with its validator, without raising for what it refuses.

        Args:
            name: name of the dataset.
            data: the value to check; by default, the dataset is loaded.
            on: `load` or `save`: what the validator must be declared for.

        Returns:
            The result; it is false if the data is refused, cannot be loaded, or the validator cannot be imported.

        Raises:
            ValueError: `on` is neither.
        """
        from treadle.io.validation.results import validate_dataset

        def find() -> DatasetValidator | None:
            if name not in self:
                _ = self[name]  # raises, with close matches
            return self.validator(name)

        def load() -> Any:
            dataset = self[name]
            return guarded("load", name, dataset, dataset.load) if data is _STORED else data

        return validate_dataset(name, find, load, on)

    def exists(self, name: str) -> bool:
        """Return whether a dataset has a value to load; False if the catalog has no such dataset.

        Raises:
            DatasetError: the dataset cannot be built, or its storage cannot be reached.
        """
        return name in self and bool(self._call("exists", name, default=False))

    def file_identity(self, name: str) -> FileIdentity | None:
        """Return the identity of the content that a load of a dataset would read; None if the dataset has none.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: the dataset cannot be built, or its storage cannot be reached.
        """
        from treadle.io.identity import file_identity_of  # imported late: a catalog of values in memory has no files

        dataset = self[name]
        identity: FileIdentity | None = guarded("look for", name, dataset, lambda: file_identity_of(dataset))
        return identity

    def release(self, name: str) -> None:
        """Release the memory and handles of a dataset; do nothing if it was never built.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: the dataset raised an error.
        """
        if name not in self._datasets and name in self:
            return
        self._call("release", name)

    def remove_leftovers(self, names: Iterable[str]) -> list[str]:
        """Remove the temporary files that killed processes left beside the local files of datasets.

        Args:
            names: datasets that are about to be saved.

        Returns:
            The paths that were removed.
        """
        from treadle.io.temporary import remove_leftovers

        return remove_leftovers(place for name in names if (place := self._local_path(name)) is not None)

    def _local_path(self, name: str) -> str | None:
        recipe = self.recipe(name)
        if recipe is not None:
            return recipe.absolute_local_path()
        from treadle.io.storage import is_local

        place = getattr(self._datasets.get(name), "filepath", None) or getattr(self._datasets.get(name), "path", None)
        return place if isinstance(place, str) and is_local(place) else None

    def confirm(self, name: str) -> None:
        """Confirm that the data loaded from a dataset has been processed.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: the dataset cannot be confirmed, or confirming failed.
        """
        if not callable(getattr(self[name], "confirm", None)):
            msg = f"Dataset {name!r} ({type(self[name]).__name__}) cannot be confirmed. Remove it from the node's `confirms`."
            raise DatasetError(msg, dataset=name)
        self._call("confirm", name)

    def _call(self, method: str, name: str, *, default: Any = None) -> Any:
        dataset = self[name]
        bound = getattr(dataset, method, None)
        return guarded("look for" if method == "exists" else method, name, dataset, bound) if callable(bound) else default
