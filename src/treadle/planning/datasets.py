"""Describe the datasets of a pipeline: where the data is stored, and which nodes save and load it.

Job: combine the pipeline's and the catalog's information on each dataset, for `treadle catalog`, without building or loading
datasets. State: none. Neighbours: `plan` compiles pipeline and catalog for a run; `io.factories` matches names to patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from treadle.io.paths import PATH_KEYS
from treadle.named_tuple import NamedTuple
from treadle.parameter_names import is_parameter
from treadle.secrets import MASK, looks_secret, mask_text, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.io import Catalog
    from treadle.io.recipe import DatasetRecipe
    from treadle.pipeline import Pipeline


class Origin(Enum):
    """Where a dataset comes from."""

    CATALOG = "catalog"
    """A catalog file declares it by name."""
    PATTERN = "pattern"
    """Its name matches a pattern of a catalog file."""
    PARAMETERS = "parameters"
    CODE = "code"
    """A hook or a program added it to the catalog."""
    MEMORY = "memory"
    """It is not declared, and kept in memory between the node that saves it and those that load it."""
    MISSING = "missing"
    """It is not declared, and no node saves it."""


class DatasetFacts(NamedTuple):
    """The facts of a dataset that are known without a run.

    Attributes:
        name: name of the dataset.
        origin: where it is declared.
        type_name: its type, as written in the catalog; None for parameters and missing datasets.
        place: its path or URL without credentials, if its entry has one.
        pattern: the pattern that its name matches, if it comes from one.
        versioned: whether each run saves a new version.
        made_by: names of the nodes that save it.
        taken_by: names of the nodes that load it.
    """

    name: str
    origin: Origin
    type_name: str | None = None
    place: str | None = None
    pattern: str | None = None
    versioned: bool = False
    made_by: tuple[str, ...] = ()
    taken_by: tuple[str, ...] = ()


def describe_datasets(pipeline: Pipeline, catalog: Catalog) -> tuple[DatasetFacts, ...]:
    """Return the facts of each dataset of a pipeline.

    Args:
        pipeline: the nodes.
        catalog: the datasets.

    Returns:
        The facts, in the order in which the pipeline uses the datasets.
    """
    made: dict[str, list[str]] = {}
    taken: dict[str, list[str]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            taken.setdefault(name, []).append(node.name)
        for name in node.outputs:
            made.setdefault(name, []).append(node.name)
    names = dict.fromkeys(name for node in pipeline.nodes for name in (*node.inputs, *node.outputs))
    return tuple(_facts(name, catalog, tuple(made.get(name, ())), tuple(taken.get(name, ()))) for name in names)


def declared_datasets(catalog: Catalog) -> tuple[DatasetFacts, ...]:
    """Return the facts of each dataset that the catalog declares by name.

    Args:
        catalog: the datasets.

    Returns:
        The facts, without parameters and without datasets that only match a pattern.
    """
    found = [_facts(name, catalog, (), ()) for name in catalog if not is_parameter(name)]
    return tuple(facts for facts in found if facts.origin is not Origin.PATTERN)


def resolved_entries(names: Iterable[str], catalog: Catalog) -> dict[str, Mapping[str, object]]:
    """Return the catalog entries of datasets with their placeholders resolved.

    Args:
        names: names of the datasets.
        catalog: the catalog that declares them, by name or by pattern.

    Returns:
        Entries by dataset name, with passwords and other secrets masked; names that match no entry are omitted.
    """
    recipes = {name: catalog.recipe(name) for name in names}
    return {name: dict(_masked(recipe.config)) for name, recipe in recipes.items() if recipe is not None}


def _masked(value: Any) -> Any:
    """Return a value of a catalog entry without secrets. `credentials` is the name of a section, and no secret."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if key != "credentials" and each is not None and looks_secret(str(key)) else _masked(each)
            for key, each in value.items()
        }
    return [_masked(each) for each in value] if isinstance(value, (list, tuple)) else value


def place_of(name: str, catalog: Catalog) -> str | None:
    """Return where a dataset stores its data, from its catalog entry or its object; None for data in memory.

    Args:
        name: name of the dataset.
        catalog: the catalog that declares it.
    """
    recipe = catalog.recipe(name)
    if recipe is not None:
        if recipe.capabilities().in_memory:
            return None
        place = _place(recipe) or str(recipe.config.get("type"))
        return f"{place} (version {recipe.save_version})" if recipe.storing().config.get("versioned") else place
    if name not in catalog or catalog.capabilities(name).in_memory:
        return None
    dataset = catalog[name]
    return str(getattr(dataset, "filepath", None) or type(dataset).__name__)


def _facts(name: str, catalog: Catalog, made_by: tuple[str, ...], taken_by: tuple[str, ...]) -> DatasetFacts:
    recipe = catalog.recipe(name)
    if recipe is not None:
        origin = Origin.CATALOG if recipe.pattern is None else Origin.PATTERN
        type_name, place = str(recipe.config.get("type")), _place(recipe)
        versioned = bool(recipe.storing().config.get("versioned"))
        return DatasetFacts(name, origin, type_name, place, recipe.pattern, versioned, made_by, taken_by)
    if name in catalog and is_parameter(name):
        return DatasetFacts(name, Origin.PARAMETERS, taken_by=taken_by)
    if name in catalog:
        return DatasetFacts(name, Origin.CODE, type(catalog[name]).__name__, made_by=made_by, taken_by=taken_by)
    origin = Origin.MEMORY if made_by else Origin.MISSING
    return DatasetFacts(name, origin, "MemoryDataset" if made_by else None, made_by=made_by, taken_by=taken_by)


def _place(recipe: DatasetRecipe) -> str | None:
    config: Mapping[str, object] = recipe.config
    while (place := next((config[key] for key in PATH_KEYS if key in config), None)) is None:
        inner = config.get("dataset")
        if not isinstance(inner, Mapping):
            return None
        config = inner
    return without_credentials(str(place))
