"""The datasets of a pipeline in words: where each one's data is, who makes it, who takes it.

Job: put side by side what the pipeline and the catalog know of a dataset, for `treadle catalog`. Nothing is built and nothing
loaded. State: none. Neighbours: `plan` compiles the same two for running; `io.factories` says which pattern a name fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from treadle.pipeline.names import is_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.io import Catalog
    from treadle.io.recipe import DatasetRecipe
    from treadle.pipeline import Pipeline


class Origin(Enum):
    """Where a dataset comes from."""

    CATALOG = "catalog"
    """A catalog file declares it by its name."""
    PATTERN = "pattern"
    """Its name fits a pattern of a catalog file."""
    PARAMETERS = "parameters"
    CODE = "code"
    """A hook or a program put it into the catalog."""
    MEMORY = "memory"
    """Nothing declares it: it lives in memory from the node that makes it to those that take it."""
    MISSING = "missing"
    """Nothing declares it and no node makes it."""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a dataset before a run.

    Attributes:
        name: its name.
        origin: where it comes from.
        type_name: its type, as the catalog has it; None for parameters and what is missing.
        place: its path or address, where its entry has one.
        pattern: the pattern that its name fits, if it comes from one.
        versioned: whether each run saves a version of its own.
        made_by: names of the nodes that make it.
        taken_by: names of the nodes that take it.
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
    """Say of each dataset of a pipeline where its data is.

    Args:
        pipeline: the nodes.
        catalog: the datasets.

    Returns:
        The facts, in the order in which the pipeline comes to the datasets.
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
    """Say of each dataset that the catalog declares by name where its data is.

    Args:
        catalog: the datasets.

    Returns:
        The facts, without parameters and without what only fits a pattern.
    """
    found = [_facts(name, catalog, (), ()) for name in catalog if not is_parameter(name)]
    return tuple(facts for facts in found if facts.origin is not Origin.PATTERN)


def resolved_entries(names: Iterable[str], catalog: Catalog) -> dict[str, Mapping[str, object]]:
    """Give the catalog entries of datasets with their placeholders filled in.

    Args:
        names: the datasets.
        catalog: where they are declared, by name or by pattern.

    Returns:
        Each entry by its dataset's name, credentials by name only; a name that no entry fits is left out.
    """
    recipes = {name: catalog.recipe(name) for name in names}
    return {name: dict(recipe.config) for name, recipe in recipes.items() if recipe is not None}


def place_of(name: str, catalog: Catalog) -> str | None:
    """Say where a dataset's data lies, as its catalog entry or its object has it; None for what is only in memory.

    Args:
        name: the dataset.
        catalog: where it is declared.
    """
    recipe = catalog.recipe(name)
    if recipe is not None:
        if recipe.capabilities().in_memory:
            return None
        place = _place(recipe) or str(recipe.config.get("type"))
        return f"{place} (version {recipe.save_version})" if recipe.config.get("versioned") else place
    if name not in catalog or catalog.capabilities(name).in_memory:
        return None
    dataset = catalog[name]
    return str(getattr(dataset, "filepath", None) or type(dataset).__name__)


def _facts(name: str, catalog: Catalog, made_by: tuple[str, ...], taken_by: tuple[str, ...]) -> DatasetFacts:
    recipe = catalog.recipe(name)
    if recipe is not None:
        origin = Origin.CATALOG if recipe.pattern is None else Origin.PATTERN
        type_name, place = str(recipe.config.get("type")), _place(recipe)
        versioned = bool(recipe.config.get("versioned"))
        return DatasetFacts(name, origin, type_name, place, recipe.pattern, versioned, made_by, taken_by)
    if name in catalog and is_parameter(name):
        return DatasetFacts(name, Origin.PARAMETERS, taken_by=taken_by)
    if name in catalog:
        return DatasetFacts(name, Origin.CODE, type(catalog[name]).__name__, made_by=made_by, taken_by=taken_by)
    origin = Origin.MEMORY if made_by else Origin.MISSING
    return DatasetFacts(name, origin, "MemoryDataset" if made_by else None, made_by=made_by, taken_by=taken_by)


def _place(recipe: DatasetRecipe) -> str | None:
    return next((str(recipe.config[key]) for key in ("filepath", "path", "filename") if key in recipe.config), None)
