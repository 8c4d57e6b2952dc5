"""Store the in-memory outputs of nodes with the policy `cache: store` in a Kedro run, as in Treadle's own.

For the run, these outputs are files in Kedro's catalog. Runs in the main process. State: none. Neighbours:
`treadle.session.stored_values` chooses the outputs and their files, `stored_value_dataset.py` is their dataset.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from treadle.kedro.stored_value_dataset import StoredValueDataset
from treadle.named_tuple import NamedTuple
from treadle.session.stored_values import with_stored_values

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from treadle.io import Catalog
    from treadle.io.dataset import Capabilities
    from treadle.io.recipe import DatasetRecipe
    from treadle.kedro.catalog import EngineCatalog
    from treadle.kedro.nodes import KedroPipeline
    from treadle.kedro.reuse import KedroReuse
    from treadle.pipeline import Pipeline
    from treadle.planning.policies import PolicyRules
    from treadle.session.context import Context

_logger = logging.getLogger("kedro.runner.treadle")


@contextmanager
def values_stored(
    catalog: EngineCatalog,
    nodes: KedroPipeline,
    rules: PolicyRules,
    reuse: KedroReuse | None,
    run_id: str,
    *,
    results: Collection[str] = (),
) -> Iterator[Collection[str]]:
    """Replace in-memory outputs of nodes with `cache: store` by files, for the length of the block.

    Args:
        catalog: the catalog of the run.
        nodes: its nodes.
        rules: their policies.
        reuse: knows the last successes of the nodes; None if the project does not record its runs, so that nothing is stored.
        run_id: the id of the run.
        results: the outputs that Kedro returns; their files stay in the catalog after the run.

    Yields:
        The names of the datasets that were replaced.

    Raises:
        SessionError: the folder of stored values cannot be trusted.
    """
    if reuse is None:
        yield ()
        return
    declaring = _Declaring(catalog)
    context = _Context(reuse.root, run_id)
    with_stored_values(cast("Catalog", declaring), cast("Pipeline", nodes), rules, reuse.reuse, cast("Context", context))
    try:
        yield declaring.replaced.keys()
    finally:
        for name, dataset in declaring.replaced.items():
            if name not in results:
                declaring.datasets[name] = dataset


class _Context(NamedTuple):
    """The attributes of Treadle's context that are read."""

    project_path: Path
    session_id: str


class _Declaring:
    """The methods of Treadle's catalog that declare files, for Kedro's catalog."""

    def __init__(self, catalog: EngineCatalog) -> None:
        self._catalog = catalog
        self.datasets: MutableMapping[str, Any] = {}
        self.replaced: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._catalog

    def capabilities(self, name: str) -> Capabilities:
        return self._catalog.capabilities(name)

    def with_recipes(self, recipes: Iterable[DatasetRecipe]) -> _Declaring:
        datasets = getattr(self._catalog.kedro, "_datasets", None)
        if not isinstance(datasets, MutableMapping):  # a catalog class of the project
            kind = type(self._catalog.kedro).__qualname__
            names = ", ".join(recipe.name for recipe in recipes)
            _logger.warning("The values of %s are not stored: the catalog class %s does not allow it.", names, kind)
            return self
        self.datasets = datasets
        for recipe in recipes:
            self.replaced[recipe.name] = self._catalog.dataset(recipe.name)
            # Not by assignment to the catalog, which would warn of a replaced dataset.
            datasets[recipe.name] = StoredValueDataset(**{key: value for key, value in recipe.config.items() if key != "type"})
        return self
