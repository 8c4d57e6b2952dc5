"""What is wrong with the files of a pipeline before it runs: inputs that are not there, and files that two datasets write.

State: none. Neighbours: `treadle.session.checking` reports it; `datasets` describes the same datasets in words.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.errors import DatasetError
from treadle.io.dataset import Dataset
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.io.recipe import DatasetRecipe
    from treadle.pipeline import Pipeline

_WITHIN = ("key", "table", "table_name", "layer")
"""Keys of an entry that say which part of its file it is."""


class WrongFile(NamedTuple):
    """Something wrong with the file of a dataset.

    Attributes:
        message: what is wrong, and what to do.
        dataset: the dataset.
        nodes: the nodes that load it, or that save it.
    """

    message: str
    dataset: str
    nodes: tuple[str, ...]


def missing_inputs(pipeline: Pipeline, catalog: Catalog) -> Iterator[WrongFile]:
    """Find the datasets that nodes load, no node makes, and whose local file is missing.

    Args:
        pipeline: the nodes.
        catalog: the datasets; those that are looked for are built.

    Yields:
        Each of them. A dataset that cannot be built, or cannot say whether it has data, is left out.
    """
    takers: dict[str, list[str]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            takers.setdefault(name, []).append(node.name)
    made = {base_name(name) for node in pipeline.nodes for name in node.outputs}
    for name, nodes in takers.items():
        if base_name(name) in made or name not in catalog or (recipe := catalog.recipe(name)) is None:
            continue
        place = recipe.local_place()
        try:
            if place is None or not _can_say(catalog[name]) or catalog.exists(name):
                continue
        except DatasetError:
            continue
        msg = f"Dataset '{name}' has no data: there is nothing to load at {place}, and no node of the pipeline makes it."
        yield WrongFile(f"{msg} Put the file there, or correct the path in the catalog.", name, tuple(nodes))


def contested_files(pipeline: Pipeline, catalog: Catalog) -> Iterator[WrongFile]:
    """Find the local files that several datasets of a pipeline write, so that what the last one writes remains.

    Args:
        pipeline: the nodes.
        catalog: the datasets; none is built.

    Yields:
        Each file, under the name of the first dataset. Tables of one database, datasets that append and folders do not count.
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
            msg = f"Several datasets write the file {place}: {listed}. What is written last remains. Give each a file of its own."
            yield WrongFile(msg, next(iter(names)), tuple(dict.fromkeys(names.values())))


def _can_say(dataset: Any) -> bool:
    """Say whether a dataset knows if it has data; the empty list of new partitions is data."""
    kind = type(dataset)
    if hasattr(kind, "checkpoint"):
        return False
    if hasattr(kind, "_exists"):  # Kedro's own class says no for those that do not know
        return any("_exists" in each.__dict__ for each in kind.__mro__ if each.__module__ != "kedro.io.core")
    return kind.exists is not Dataset.exists


def _written_file(recipe: DatasetRecipe, catalog: Catalog, name: str) -> str | None:
    """Return the file that a dataset replaces when it is saved; None where it is no local file, or only a part of one."""
    config = recipe.config
    save_args = config.get("save_args")
    mode = save_args.get("mode") if isinstance(save_args, dict) else None
    if "filepath" not in config or any(key in config for key in _WITHIN) or "a" in str(mode or ""):
        return None
    place = recipe.local_place()
    try:
        is_alone = place is not None and catalog.capabilities(name).exclusive is None
    except DatasetError:
        return None
    return os.path.realpath(place) if is_alone and place is not None else None
