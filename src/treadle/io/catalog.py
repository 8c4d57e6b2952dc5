"""The catalog: datasets by name.

A dataset declared in configuration is a recipe until a process first uses it and builds it. A dataset added by code is an object
from the start. Parameters are looked up in one mapping. State: the recipes, the datasets that were built or added (under a lock,
because threads share a catalog), and the parameters. Neighbours: `recipe` builds datasets, `parameters` looks up parameters.
`Catalog` inherits from `access`, which uses datasets, and `inventory`, which lists them. `subset` makes the part for a worker.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, UnknownDatasetError
from treadle.forks import fork_safe
from treadle.io.access import DatasetAccess
from treadle.io.dataset import Capabilities, Dataset, capabilities_of, is_dataset
from treadle.io.inventory import Inventory
from treadle.io.memory import MemoryDataset
from treadle.io.parameters import Parameters
from treadle.io.validation import SWITCH
from treadle.io.versions import new_version
from treadle.named_tuple import NamedTuple
from treadle.parameter_names import is_parameter
from treadle.secrets import register_secrets
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from treadle.io.factories import DatasetFactories
    from treadle.io.recipe import DatasetRecipe
    from treadle.io.validation.checking import DatasetValidator
    from treadle.io.validation.declaration import ValidatorRecipe

__all__ = ["Catalog", "CatalogPart", "new_version"]


class CatalogPart(NamedTuple):
    """The part of a catalog that a worker needs.

    Attributes:
        recipes: the datasets that each process builds itself.
        objects: names and dataset objects that are pickled.
        save_version: the version that this run saves.
    """

    recipes: tuple[DatasetRecipe, ...] = ()
    objects: tuple[tuple[str, Any], ...] = ()
    save_version: str | None = None


class Catalog(DatasetAccess, Inventory):
    """Datasets by name.

    Args:
        datasets: datasets or plain values by name; a plain value becomes a memory dataset.

    Example:
        >>> catalog = Catalog({"numbers": [1, 2]})
        >>> catalog.save("numbers", [3])
        >>> catalog.load("numbers")
        [3]
    """

    def __init__(self, datasets: Mapping[str, Dataset | Any] | None = None) -> None:
        self._lock = fork_safe(threading.RLock())
        self._recipes: dict[str, DatasetRecipe] = {}
        self._datasets: dict[str, Dataset] = {}
        self._validators: dict[str, DatasetValidator] = {}
        self._kept_validators: dict[str, ValidatorRecipe] = {}
        self._parameters: Parameters | None = None
        self._factories: DatasetFactories | None = None
        self._source: Catalog | None = None
        self.save_version: str | None = None
        self._save_version_given = False
        for name, dataset in _checked_mapping(datasets, "Catalog").items():
            self[name] = dataset

    @classmethod
    def from_config(
        cls,
        catalog: Mapping[str, Mapping[str, Any]],
        credentials: Mapping[str, Any] | None = None,
        *,
        project_path: str | os.PathLike[str] | None = None,
        load_versions: Mapping[str, str] | None = None,
        save_version: str | None = None,
    ) -> Self:
        """Create a catalog from configuration, without building any dataset.

        Args:
            catalog: entries by dataset name, or by a pattern such as `"{name}_csv"`; names that begin with an underscore
                (YAML anchors) are ignored.
            credentials: credentials by the names that entries refer to.
            project_path: the folder that relative paths start from; by default, the working directory.
            load_versions: versions to load, by dataset name.
            save_version: the version that every run saves; by default, each run of a runner has its own, and data saved outside
                a run gets a version made from the time.

        Returns:
            the catalog.

        Raises:
            DatasetError: an entry is not a mapping or has no type, or a pattern or a validator is invalid.
        """
        from treadle.io.entries import read_entries  # imported late, with much else: a catalog of values in memory needs none

        register_secrets(credentials or {})
        catalog = _checked_mapping(catalog, "Catalog.from_config(catalog=…)")
        if SWITCH in os.environ:
            from treadle.io.validation.declaration import validation_enabled, without_validators

            catalog = catalog if validation_enabled() else without_validators(catalog)
        credentials = _checked_mapping(credentials, "Catalog.from_config(credentials=…)")
        versions = dict(_checked_mapping(load_versions, "Catalog.from_config(load_versions=…)"))
        result = cls()
        result.save_version = save_version or new_version()
        result._save_version_given = save_version is not None
        result._recipes, result._factories = read_entries(catalog, credentials, project_path, versions, result.save_version)
        result._check_load_versions(versions)
        return result

    @classmethod
    def from_part(cls, part: CatalogPart) -> Self:
        """Create a worker's catalog from the result of `subset`.

        Args:
            part: the part.

        Returns:
            the catalog.
        """
        result = cls()
        result.save_version = part.save_version
        result.add_part(part)
        return result

    def add_part(self, part: CatalogPart) -> None:
        """Add the datasets of a part to a worker's catalog.

        Args:
            part: the part.
        """
        self._recipes.update((recipe.name, recipe) for recipe in part.recipes)
        for name, dataset in part.objects:
            self[name] = dataset

    def subset(self, names: Iterable[str]) -> CatalogPart:
        """Return the part of this catalog that another process needs.

        Args:
            names: the datasets that it will use. Unknown ones, those in memory and those of the main process are omitted: the
                engine transfers values in memory, and runs nodes that need the main process there.

        Returns:
            the part. A dataset from configuration is sent as a recipe, even if it has been built in this process.
        """
        recipes: list[DatasetRecipe] = []
        objects: list[tuple[str, Any]] = []
        for name in dict.fromkeys(names):
            if name not in self:
                continue
            recipe = self.recipe(name)
            capabilities = self.capabilities(name)
            if capabilities.main_process_only:
                continue
            if recipe is not None:
                recipes.append(recipe.portable())
            elif not capabilities.in_memory:
                objects.append((name, self[name]))
        return CatalogPart(tuple(recipes), tuple(objects), self.save_version)

    def with_data(self, data: Mapping[str, Any]) -> Self:
        """Return a catalog with these values in memory, which shares all other datasets with this one.

        Args:
            data: values by dataset name; None is a value. They are copied, as memory datasets do. The validators of these
                datasets check them when they are loaded.

        Returns:
            A new catalog of the same class.
        """
        result = copy.copy(self)
        result.__dict__.update(
            _lock=fork_safe(threading.RLock()),
            _recipes=dict(self._recipes),
            _datasets=dict(self._datasets),
            _kept_validators=dict(self._kept_validators),
            _source=self,
        )
        for name, value in data.items():
            validator = self.validator_recipe(name)
            result[name] = MemoryDataset(value)
            if validator is not None:
                result._kept_validators[name] = validator  # noqa: SLF001 - a catalog of this class
        return result

    def with_recipes(self, recipes: Iterable[DatasetRecipe]) -> Self:
        """Return a catalog in which these recipes replace datasets, and which shares all others with this one.

        Args:
            recipes: the recipes; their datasets are built. The validators of the replaced datasets stay.

        Returns:
            A new catalog of the same class.
        """
        result, declared = self.with_data({}), [self._with_validator(recipe) for recipe in recipes]
        for recipe in declared:
            result[recipe.name] = recipe.build()
        result.__dict__["_recipes"] |= {recipe.name: recipe for recipe in declared}
        return result

    def add_parameters(self, params: Mapping[str, Any]) -> None:
        """Make parameters available as `parameters` and `params:a.b`, replacing any that were added before.

        Args:
            params: the nested parameters; they are copied.
        """
        with self._lock:
            for name in self._parameters.names() if self._parameters else ():
                self._datasets.pop(name, None)
            self._parameters = Parameters(_checked_mapping(params, "Catalog.add_parameters"))

    def recipe(self, name: str) -> DatasetRecipe | None:
        """Return the recipe of a dataset that is declared in configuration, whether built here or not; None for any other."""
        recipe = self._recipes.get(name)
        factories = self._factories
        if recipe is None and factories is not None and name not in self._datasets and not is_parameter(name):
            recipe = factories.recipe(name)
            if recipe is not None:
                recipe = self._recipes.setdefault(name, recipe)
        return recipe

    def is_recipe(self, name: str) -> bool:
        """Return whether configuration declares a dataset, so that any process can build it."""
        return self.recipe(name) is not None

    def capabilities(self, name: str) -> Capabilities:
        """Return the capabilities that a dataset declares, without building it.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: the dataset cannot be built, for example because its type is unknown or credentials are missing.
        """
        built = self._datasets.get(name)
        if built is not None:
            return capabilities_of(built)
        recipe = self.recipe(name)
        if recipe is not None:
            return recipe.capabilities()
        if self._parameters is not None and name in self._parameters:
            return Capabilities(in_memory=True)
        raise self._unknown(name)

    def dataset_class(self, name: str) -> type[Any]:
        """Return the class of a dataset other than a parameter, without building it.

        Raises:
            UnknownDatasetError: the dataset does not exist.
            DatasetError: its type is unknown.
        """
        built = self._datasets.get(name)
        recipe = self.recipe(name) if built is None else None
        return recipe.dataset_class() if recipe is not None else type(self[name])

    def get(self, name: str, default: Dataset | None = None) -> Dataset | None:
        """Return a dataset, which is built if necessary, or the default if the name is unknown."""
        return self[name] if name in self else default  # noqa: SIM401 - this method implements `get`

    def keys(self) -> Iterator[str]:
        """Yield the names of all datasets, those of the parameters last."""
        return iter(self)

    def __getitem__(self, name: str) -> Dataset:
        dataset = self._datasets.get(name)
        if dataset is not None:
            return dataset
        with self._lock:
            if name not in self._datasets:
                self._datasets[name] = self._create(name)
            return self._datasets[name]

    def __setitem__(self, name: str, dataset: Dataset | Any) -> None:
        if not name or not isinstance(name, str):
            msg = f"The name of a dataset must be a non-empty string, not {name!r}."
            raise DatasetError(msg)
        with self._lock:
            self._recipes.pop(name, None)
            self._kept_validators.pop(name, None)
            self._datasets[name] = dataset if is_dataset(dataset) else MemoryDataset(dataset)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name in self._datasets or name in self._recipes:
            return True
        if self._parameters is not None and name in self._parameters:
            return True
        return self._factories is not None and self.recipe(name) is not None

    def __iter__(self) -> Iterator[str]:
        parameters = dict.fromkeys(self._parameters.names()) if self._parameters is not None else {}
        declared = dict.fromkeys(name for name in (*self._recipes, *self._datasets) if name not in parameters)
        return iter((*declared, *parameters))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        count = len(dict.fromkeys((*self._recipes, *self._datasets)))
        return f"{type(self).__name__}({count} datasets, {len(self._recipes)} of them from configuration)"

    def _create(self, name: Any) -> Dataset:
        if not isinstance(name, str):
            msg = f"The name of a dataset must be a string, not {name!r} of type {type(name).__name__}."
            raise DatasetError(msg)
        if self._source is not None:
            return self._source[name]
        recipe = self.recipe(name)
        if recipe is not None:
            return recipe.build()
        parameter = self._parameters.dataset(name) if self._parameters is not None else None
        if parameter is None:
            raise self._unknown(name)
        return parameter

    def _unknown(self, name: str) -> UnknownDatasetError:
        close = close_names(name, self)
        where = "a parameters file" if is_parameter(name) else "the catalog"
        msg = f"There is no dataset {name!r} in the catalog.{did_you_mean(close)} Check the spelling, or add it to {where}."
        return UnknownDatasetError(msg, dataset=name, close=close)

    def _check_load_versions(self, versions: Mapping[str, str]) -> None:
        for name in versions:
            if name not in self:
                raise self._unknown(name)


def _checked_mapping(given: Any, what: str) -> Mapping[Any, Any]:
    """Return an argument, which must be a mapping; return an empty mapping for None."""
    if given is not None and not isinstance(given, Mapping):
        msg = f"{what} must be a mapping of names, not {given!r} of type {type(given).__name__}."
        raise DatasetError(msg)
    return given or {}
