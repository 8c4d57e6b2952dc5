"""Build declared memory datasets before a run starts, so that an invalid argument is not found hours later. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.io import Catalog
    from treadle.planning.plan import Plan


def check_memory_datasets(plan: Plan, catalog: Catalog) -> None:
    """Raise if a memory dataset that the catalog declares cannot be built.

    Args:
        plan: the datasets of the run.
        catalog: the catalog with their entries.

    Raises:
        DatasetError: a dataset cannot be built; names the first such entry and the problem.
    """
    for dataset in plan.datasets:
        if dataset.declared and dataset.in_memory:
            _ = catalog[dataset.name]
