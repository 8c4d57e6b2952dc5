"""Store the in-memory outputs of nodes whose policy is `cache: store`, so that a later run can load them.

For the run, these outputs are declared as files, each of this run only: concurrent runs never load each other's values. A node
that is skipped left its file in an earlier run, whose content its record knows. So storing, loading, and deciding whether a value
is unchanged are what they are for every other file, under every runner.

State: none. Neighbours: `value_files.py` has the files, `reusing.py` the last successes, `running.py` prepares the run.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.io.recipe import DatasetRecipe
from treadle.pipeline.policy import CachePolicy
from treadle.session.node_facts import STORED_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.pipeline import Node, Pipeline
    from treadle.planning.policies import PolicyRules
    from treadle.session.context import Context
    from treadle.session.reusing import Reuse

_logger = logging.getLogger(__name__)


def with_stored_values(catalog: Catalog, pipeline: Pipeline, rules: PolicyRules, reuse: Reuse, context: Context) -> Catalog:
    """Declare files for the in-memory outputs of nodes with `cache: store`.

    Args:
        catalog: the catalog of the run.
        pipeline: its nodes.
        rules: the configured policies.
        reuse: knows the last successes of the nodes.
        context: the project, and the id of the run.

    Returns:
        A catalog with these files; the same one if no output is stored.

    Raises:
        SessionError: the folder of stored values cannot be trusted.
    """
    outputs = list(_outputs(catalog, pipeline, rules))
    declare = getattr(catalog, "with_recipes", None)  # a catalog class of the project may not have it
    if not outputs or declare is None:
        return catalog
    from treadle.session.value_files import make_values_folder, note_use, remove_values, value_file

    folder = make_values_folder(context.project_path)
    last = reuse.read_last()
    recipes = []
    for node, name in outputs:
        config: dict[str, Any] = {"filepath": str(value_file(folder, name, context.session_id))}
        success = last.get(node.name)
        record = next((each for each in success.outputs if each.dataset == name), None) if success is not None else None
        if record is not None and record.location is not None:
            earlier = folder / Path(record.location).name  # the record may come from another checkout
            note_use(earlier)
            config |= {"earlier": str(earlier), "digest": record.digest}
        recipes.append(DatasetRecipe(name, {"type": STORED_TYPE, **config}))
    removed = remove_values(folder, reuse.max_stored, reuse.store)
    if removed:
        _logger.info("%d stored values were removed, those that were used least recently.", len(removed))
    declared: Catalog = declare(recipes)
    return declared


def _outputs(catalog: Catalog, pipeline: Pipeline, rules: PolicyRules) -> Iterator[tuple[Node, str]]:
    for node in pipeline.nodes:
        policy = rules.of(node)
        if policy is not None and policy.cache is CachePolicy.STORE:
            for name in node.outputs:
                if "@" not in name and (name not in catalog or catalog.capabilities(name).in_memory):
                    yield node, name
