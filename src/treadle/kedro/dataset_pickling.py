"""Send the datasets of a Kedro catalog to workers: as configuration, or pickled if they have none.

`collect_recipes` reads the catalog before Kedro builds the datasets of the run, while it still has their resolved
configuration, including credentials, factories and versions. State: none.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kedro.io import AbstractDataset

    from treadle.execution.packing.dataset_types import Definition


@dataclass(frozen=True, slots=True)
class ConfigRecipe:
    """The resolved configuration of a dataset. It may contain credentials: send it over a private socket only, never show it."""

    config: Mapping[str, Any] = field(repr=False)
    load_version: str | None
    save_version: str | None
    is_latest: bool = True
    """False if the catalog has built the dataset already: code may have changed the object since."""
    classes: tuple[Definition, ...] = ()
    """The classes in the configuration that a worker cannot import by their paths. Unpickling defines them there."""

    def build(self, name: str) -> AbstractDataset[Any, Any]:
        """Build the dataset."""
        from kedro.io import AbstractDataset

        return AbstractDataset.from_config(name, dict(self.config), self.load_version, self.save_version)


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that one run loads and saves of a versioned dataset."""

    load: str | None
    save: str | None

    def pin(self, dataset: Any) -> None:
        """Make a dataset use these versions even if other runs save newer ones."""
        from kedro.io.core import Version

        dataset._version = Version(self.load, self.save)


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """One pickled dataset: either its recipe or the object itself."""

    name: str
    recipe: bytes | None = None
    dataset: bytes | None = field(default=None, repr=False)
    versions: Versions | None = None
    fresh: bool = False
    """True if another process may write it during the run, so cached versions and listings are cleared first."""

    def build(self) -> Any:
        """Return the dataset, in a worker."""
        sent = pickle.loads(self.recipe or self.dataset or b"")  # noqa: S301 - the parent sent it
        built = sent.build(self.name) if self.recipe is not None else sent
        if self.versions is not None:
            self.versions.pin(built)
        if self.fresh:
            _clear_listings(built)
        return built


class LazyDataset:
    """A dataset that a worker builds on first access; stands in for the lazy dataset of Kedro's catalog.

    Args:
        packed: the pickled dataset.
    """

    def __init__(self, packed: PackedDataset) -> None:
        recipe = pickle.loads(packed.recipe) if packed.recipe is not None else None  # noqa: S301 - the parent sent it
        self.name = packed.name
        self.config: Mapping[str, Any] = getattr(recipe, "config", {})
        self.load_version: str | None = getattr(recipe, "load_version", None)
        self.save_version: str | None = getattr(recipe, "save_version", None)
        self.materialize = packed.build

    def __repr__(self) -> str:
        return str(self.config.get("type", self.name))


def _clear_listings(dataset: Any) -> None:
    """Clear a dataset's cached versions and listings. Its own `_release` is not called: it may do more, at the end of use."""
    from fsspec import AbstractFileSystem
    from kedro.io.core import AbstractVersionedDataset

    if isinstance(dataset, AbstractVersionedDataset):
        AbstractVersionedDataset._release(dataset)  # Kedro's own, which only clears cached versions
    partitions = getattr(dataset, "_partition_cache", None)
    if isinstance(partitions, MutableMapping):
        partitions.clear()
    for name in ("_fs", "_filesystem"):
        files = getattr(dataset, name, None)
        if isinstance(files, AbstractFileSystem):
            files.invalidate_cache()


def collect_recipes(catalog: Any, names: Iterable[str]) -> dict[str, ConfigRecipe]:
    """Find the recipes of a run's datasets, before they are built.

    Args:
        catalog: Kedro's catalog.
        names: the datasets of a run.

    Returns:
        Recipes by name. A dataset that was added as an object, or that is unknown, has none.
    """
    waiting: Mapping[str, Any] = getattr(catalog, "_lazy_datasets", {})
    built: Mapping[str, Any] = getattr(catalog, "_datasets", {})
    resolver = getattr(catalog, "config_resolver", None)
    recipes = {}
    for name in names:
        if name in waiting:
            recipes[name] = recipe_of(waiting[name])
        elif resolver is not None and (name in resolver.config if name in built else name in catalog):
            config = resolver.config[name] if name in built else resolver.resolve_pattern(name)
            config = {key: value for key, value in (config or {}).items() if key != "validator"}
            if config:
                load_version = getattr(catalog, "_load_versions", {}).get(name)
                save_version = getattr(catalog, "_save_version", None)
                recipes[name] = ConfigRecipe(
                    config, load_version, save_version, is_latest=name not in built, classes=_unimportable_classes(config)
                )
    return recipes


def recipe_of(waiting: Any) -> ConfigRecipe:
    """Return the recipe of a dataset that Kedro's catalog has not built yet."""
    classes = _unimportable_classes(waiting.config)
    return ConfigRecipe(waiting.config, waiting.load_version, waiting.save_version, classes=classes)


def _unimportable_classes(config: Mapping[str, Any]) -> tuple[Definition, ...]:
    """Return the classes of scripts, notebooks and modules that cannot be imported whose paths are in a configuration."""
    from treadle.execution.packing.dataset_types import Definition
    from treadle.execution.values.importable import is_module_found

    found = []
    for text in dict.fromkeys(_strings(config)):
        module, _, name = text.rpartition(".")
        if not is_module_found(module):
            kind = getattr(sys.modules[module], "__dict__", {}).get(name)  # not by getattr, which may import more
            if isinstance(kind, type):
                found.append(Definition(module, name, kind))
    return tuple(found)


def _strings(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from _strings(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _strings(value)


def pack_dataset(
    name: str, dataset: Any, recipe: ConfigRecipe | None, *, versions: Versions | None = None, fresh: bool = False
) -> PackedDataset | None:
    """Pickle a dataset for workers.

    Args:
        name: its name.
        dataset: the object in this process.
        recipe: its configuration, if known.
        versions: the versions to pin it to.
        fresh: whether another process may write it during the run.

    Returns:
        The packed dataset; None if it cannot be pickled, so that it must stay in this process.
    """
    packed_recipe = _pickled(recipe) if recipe is not None else None
    if recipe is not None and recipe.is_latest and packed_recipe is not None:
        return PackedDataset(name, recipe=packed_recipe, versions=versions, fresh=fresh)
    if dataset is not None and (packed := _pickled(dataset)) is not None:
        return PackedDataset(name, dataset=packed, versions=versions, fresh=fresh)
    return PackedDataset(name, recipe=packed_recipe, versions=versions, fresh=fresh) if packed_recipe is not None else None


def _pickled(value: object) -> bytes | None:
    from treadle.execution.values.by_value import dumps

    try:
        data = dumps(value)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class, which may raise anything
        return None
    return data
