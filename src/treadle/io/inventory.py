"""List and describe the datasets of a catalog: names by pattern and type, versions, the equivalent configuration.

These methods serve users and tools; finding and building datasets is in `catalog`, whose class inherits from this one.
State: none besides the catalog's.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import DatasetError
from treadle.io.copying import copy_value
from treadle.io.failures import guarded
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from treadle.io.dataset import Dataset
    from treadle.io.factories import DatasetFactories
    from treadle.io.recipe import DatasetRecipe

_Names: TypeAlias = list[str]  # inside the class, `list` is the method


class CatalogConfig(NamedTuple):
    """A catalog as configuration: `Catalog.from_config(**config._asdict())` creates an equal one."""

    catalog: dict[str, dict[str, Any]]
    """Entries by name, including the patterns of dataset factories."""
    credentials: dict[str, Any]
    """The credentials that entries refer to, unmasked."""
    project_path: str | None
    """The folder that relative paths start from."""
    load_versions: dict[str, str]
    save_version: str | None


class Inventory(ABC):
    """The methods of a catalog that list and describe datasets."""

    _recipes: dict[str, DatasetRecipe]
    _datasets: dict[str, Dataset]
    _factories: DatasetFactories | None
    save_version: str | None
    _save_version_given: bool

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Yield the names of all datasets."""

    @abstractmethod
    def __getitem__(self, name: str) -> Dataset:
        """Return a dataset."""

    @abstractmethod
    def recipe(self, name: str) -> DatasetRecipe | None:
        """Return the recipe of a dataset that configuration declares."""

    @abstractmethod
    def with_data(self, data: Mapping[str, Any]) -> Self:
        """Return a catalog with these values in memory, which shares all other datasets with this one."""

    def items(self) -> Iterator[tuple[str, Dataset]]:
        """Yield each name with its dataset, and build the datasets."""
        for name in self:
            yield name, self[name]

    def values(self) -> Iterator[Dataset]:
        """Yield each dataset, and build the datasets."""
        for name in self:
            yield self[name]

    def _ipython_key_completions_(self) -> _Names:
        """Return the completions for `catalog["` in IPython."""
        return [*self]

    def list(self, pattern: str | None = None) -> _Names:
        """Return the names of the datasets.

        Args:
            pattern: a regular expression to search for in the names, ignoring case; None for all names.

        Returns:
            the names, in the order of their declaration.

        Raises:
            DatasetError: the expression is invalid.
        """
        try:
            wanted = re.compile("" if pattern is None else pattern, re.IGNORECASE)
        except (re.error, TypeError) as exc:
            msg = f"{pattern!r} is not a valid regular expression: {exc}."
            raise DatasetError(msg) from exc
        return [name for name in self if wanted.search(name)]

    def filter(self, name: str | None = None, type: str | type[Any] | None = None) -> _Names:  # noqa: A002 - as in the entries
        """Return the names of the datasets with a name and type, without building them.

        Args:
            name: a regular expression, as for `list`.
            type: a type as in catalog entries (`pandas.CSVDataset`), a full path, the name of a class, or a class, which includes
                its subclasses; None for any.

        Returns:
            the names, in the order of their declaration.

        Raises:
            DatasetError: the expression is invalid; or a class is given, and the type of a dataset cannot be imported.
        """
        return [each for each in self.list(name) if type is None or self._has_type(each, type)]

    def patterns(self) -> tuple[str, ...]:
        """Return the patterns of dataset factories, in the order in which they are tried."""
        return self._factories.patterns if self._factories is not None else ()

    def versions(self, name: str) -> _Names:
        """Return the existing versions of a dataset, the newest first.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: it has no versions.
        """
        dataset = self[name]
        versions = getattr(dataset, "versions", None)
        found = versions() if callable(versions) else None
        if found is None:
            msg = f"Dataset {name!r} ({type(dataset).__name__}) is not versioned. Add `versioned: true` to its catalog entry."
            raise DatasetError(msg, dataset=name)
        return list(found)

    def pin_versions(self, names: Iterable[str]) -> dict[str, str]:
        """Pin each dataset to its newest version, which is then loaded in this process and in workers.

        Args:
            names: datasets that a run loads but does not save. Unversioned ones, and ones with a given load version, do not
                change.

        Returns:
            The version of each dataset that was pinned.
        """
        pinned: dict[str, str] = {}
        for name in sorted(names):
            recipe = self.recipe(name)
            if recipe is not None and self._may_pin(name):
                try:
                    dataset = self[name]
                    version = guarded("look for", name, dataset, partial(_version_to_load, dataset))
                except DatasetError:  # the same error occurs, and is reported, when a node loads it
                    continue
                if version is not None:
                    pinned[name] = version
                    self._recipes[name] = recipe._replace(load_version=version)
                    self._datasets[name] = self._recipes[name].build()
        return pinned

    def for_run(self, run_id: str, datasets: Iterable[str], inputs: Iterable[str], confirmed: Iterable[str] = ()) -> Self:
        """Return the catalog of one run, which saves under the run's version and loads the versions that are newest now.

        Args:
            run_id: the version that the run saves, unless a save version was given when this catalog was created.
            datasets: all datasets of the run.
            inputs: the datasets that the run loads but does not save.
            confirmed: the datasets that its nodes confirm.

        Returns:
            A catalog with new datasets for those that depend on the run, which shares all other datasets with this one. This
            catalog does not change. If no dataset depends on the run, this catalog itself.
        """
        if not self._recipes and not self.patterns():
            return self  # only datasets of configuration depend on the run
        saved = [] if self._save_version_given else [name for name in sorted(datasets) if self._saves_by_run(name)]
        loaded = [name for name in inputs if self._may_pin(name)]
        confirming = [name for name in confirmed if self._is_per_run(name)]
        if not saved and not loaded and not confirming:
            return self
        result = self.with_data({})
        result._save_as(run_id, saved)  # noqa: SLF001 - a catalog of this class
        result._confirm_in_run(confirming)  # noqa: SLF001 - the same
        result.pin_versions(loaded)
        return result

    def _save_as(self, version: str, names: Iterable[str]) -> None:
        for name in names:
            self.save_version = version
            recipe = self._recipes[name] = self._recipes[name]._replace(save_version=version)
            with suppress(DatasetError):  # the node that needs it reports the error
                self._datasets[name] = recipe.build()

    def _confirm_in_run(self, names: Iterable[str]) -> None:
        for name in names:
            recipe = self._recipes[name] = self._recipes[name]._replace(confirmed=True)
            with suppress(DatasetError):  # the node that needs it reports the error
                self._datasets[name] = recipe.build()

    def _saves_by_run(self, name: str) -> bool:
        recipe = self.recipe(name)
        return recipe is not None and (_is_versioned(recipe.config) or self._is_per_run(name))

    def _is_per_run(self, name: str) -> bool:
        recipe = self.recipe(name)
        return recipe is not None and recipe.is_per_run()

    def _may_pin(self, name: str) -> bool:
        recipe = self.recipe(name)
        return recipe is not None and recipe.load_version is None and _is_versioned(recipe.config)

    def metadata(self, name: str) -> Any:
        """Return the `metadata` of a dataset's entry, without building the dataset; None if it has none.

        Raises:
            UnknownDatasetError: the dataset does not exist.
        """
        recipe = self.recipe(name)
        if recipe is not None:
            return copy_value(recipe.config.get("metadata"))
        return getattr(self[name], "metadata", None)

    def to_config(self) -> CatalogConfig:
        """Return this catalog as configuration.

        A dataset that was added as an object is included if it has a method `entry`, as Treadle's file datasets have. Values in
        memory and parameters are data, not configuration, so they are omitted.

        Returns:
            the configuration, including the patterns of factories, as plain data that can be written as YAML or JSON.

        Raises:
            DatasetError: a dataset that was added as an object cannot be written as configuration.
        """
        catalog: dict[str, dict[str, Any]] = {}
        factories = self._factories
        credentials: dict[str, Any] = dict(factories.credentials) if factories is not None else {}
        load_versions: dict[str, str] = dict(factories.load_versions) if factories is not None else {}
        project_path = None
        for recipe in (*self._recipes.values(), *(factories.templates if factories is not None else ())):
            if recipe.pattern is not None:
                continue  # the entry of its pattern is included
            catalog[recipe.name] = copy_value(dict(recipe.config))
            credentials.update(recipe.credentials or {})
            project_path = recipe.project_path
            if recipe.load_version is not None:
                load_versions[recipe.name] = recipe.load_version
        for name in self:
            if self.recipe(name) is None and name in self._datasets:
                described = _described(name, self._datasets[name])
                if described is not None:
                    catalog[name] = described
        return CatalogConfig(catalog, copy_value(credentials), project_path, load_versions, self.save_version)

    def _has_type(self, name: str, wanted: str | type[Any]) -> bool:
        from treadle.io.types import type_names

        recipe = self.recipe(name)
        if isinstance(wanted, str):
            return wanted in type_names(type(self[name]) if recipe is None else recipe.config.get("type"))
        return issubclass(type(self[name]) if recipe is None else recipe.dataset_class(), wanted)


def _is_versioned(entry: Mapping[str, Any]) -> bool:
    wrapped = entry.get("dataset")
    return bool(entry.get("versioned") or (isinstance(wrapped, Mapping) and wrapped.get("versioned")))


def _version_to_load(dataset: Any) -> str | None:
    """Return the version that a dataset of Treadle or Kedro would load."""
    method = getattr(dataset, "load_version", None) or getattr(dataset, "resolve_load_version", None)
    version: str | None = method() if callable(method) else None
    return version


def _described(name: str, dataset: Dataset) -> dict[str, Any] | None:
    """Return the catalog entry of a dataset; None for a value in memory."""
    if getattr(dataset, "in_memory", False):
        return None
    entry = getattr(dataset, "entry", None)
    if not callable(entry):
        msg = (
            f"Dataset {name!r} ({type(dataset).__name__}) was added as an object and cannot be written as configuration. "
            "Declare it in the catalog's configuration, or give its class a method `entry()` that returns its catalog entry."
        )
        raise DatasetError(msg, dataset=name)
    described: Mapping[str, Any] = entry()
    return dict(described)
