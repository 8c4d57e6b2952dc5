"""Find problems with a pipeline's files before a run: missing inputs, and files written by more than one dataset.

State: none. Neighbours: `treadle.session.checking` reports the problems; `datasets` describes the datasets.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.dataset import Dataset
from treadle.named_tuple import NamedTuple
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.io.recipe import DatasetRecipe
    from treadle.pipeline import Pipeline

_WITHIN = ("key", "table", "table_name", "layer")
"""Keys of an entry that select a part of its file."""


class WrongFile(NamedTuple):
    """A problem with the file of a dataset.

    Attributes:
        message: the problem, and what to do.
        dataset: the dataset.
        nodes: the nodes that load it, or that save it.
    """

    message: str
    dataset: str
    nodes: tuple[str, ...]


def missing_inputs(pipeline: Pipeline, catalog: Catalog) -> Iterator[WrongFile]:
    """Find datasets that nodes load, no node saves, and whose local file is missing.

    Args:
        pipeline: the nodes.
        catalog: the datasets; the checked ones are built.

    Yields:
        A problem per dataset. A dataset that cannot be built, or that has no existence check, is skipped.
    """
    consumers: dict[str, list[str]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            consumers.setdefault(name, []).append(node.name)
    made = {base_name(name) for node in pipeline.nodes for name in node.outputs}
    for name, nodes in consumers.items():
        if base_name(name) in made or name not in catalog or (recipe := catalog.recipe(name)) is None:
            continue
        place = recipe.absolute_local_path()
        try:
            if place is None or not _has_existence_check(catalog[name]) or catalog.exists(name):
                continue
        except DatasetError:
            continue
        msg = f"Dataset '{name}' has no data: {place} does not exist, and no node of the pipeline saves the dataset."
        yield WrongFile(f"{msg} Create the file, or correct the path in the catalog.", name, tuple(nodes))


def contested_files(pipeline: Pipeline, catalog: Catalog) -> Iterator[WrongFile]:
    """Find local files that several datasets of a pipeline write, so that they overwrite each other.

    Args:
        pipeline: the nodes.
        catalog: the datasets; none is built.

    Yields:
        A problem per file, under the name of the first dataset. Database tables, folders and datasets that append are skipped.
    """
    writers: dict[str, dict[str, str]] = {}
    for node in pipeline.nodes:
        for name in node.outputs:
            recipe = catalog.recipe(name) if name in catalog else None
            if recipe is not None and (place := _written_file(recipe, catalog, name)) is not None:
                writers.setdefault(place, {}).setdefault(name, node.name)
    for place, names in writers.items():
        if len({base_name(name) for name in names}) > 1:
            listed = ", ".join(f"'{name}' (by node '{node}')" for name, node in names.items())
            msg = f"Several datasets write the file {place} and overwrite each other: {listed}. Give each dataset its own file."
            yield WrongFile(msg, next(iter(names)), tuple(dict.fromkeys(names.values())))


def _has_existence_check(dataset: Any) -> bool:
    """Return whether a dataset can tell if it has data; for incremental datasets, an empty list of new partitions is data."""
    kind = type(dataset)
    if hasattr(kind, "checkpoint"):
        return False
    if hasattr(kind, "_exists"):  # Kedro's base class returns False for datasets without a check
        return any("_exists" in each.__dict__ for each in kind.__mro__ if each.__module__ != "kedro.io.core")
    return kind.exists is not Dataset.exists


def _written_file(recipe: DatasetRecipe, catalog: Catalog, name: str) -> str | None:
    """Return the local file that saving a dataset replaces; None if it is no local file or only a part of one."""
    config = recipe.config
    save_args = config.get("save_args")
    mode = save_args.get("mode") if isinstance(save_args, dict) else None
    if "filepath" not in config or any(key in config for key in _WITHIN) or "a" in str(mode or ""):
        return None
    place = recipe.absolute_local_path()
    try:
        is_alone = place is not None and catalog.capabilities(name).exclusive is None
    except DatasetError:
        return None
    return os.path.realpath(place) if is_alone and place is not None else None
