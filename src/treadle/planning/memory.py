"""Declared memory datasets, built before anything runs: a wrong argument of one should not cost an hour of work. No state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.io import Catalog
    from treadle.planning.plan import Plan


def check_memory_datasets(plan: Plan, catalog: Catalog) -> None:
    """Raise if a memory dataset that the catalog declares cannot be built.

    Args:
        plan: the datasets of the run.
        catalog: has their entries.

    Raises:
        DatasetError: the first one that cannot be built; names the entry and what is wrong.
    """
    for dataset in plan.datasets:
        if dataset.declared and dataset.in_memory:
            _ = catalog[dataset.name]
