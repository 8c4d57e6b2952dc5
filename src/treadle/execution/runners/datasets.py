"""Prepare the datasets that a run saves: clear their caches, remove leftovers, and release each after its last consumer.

Runs in the parent. `attempt/dataset_state.py` transfers the attributes that datasets set while saving. State: none.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from treadle.io.dataset import is_of_project, releases_itself
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from treadle.events import Observer
    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.io import Catalog
    from treadle.planning import Plan
    from treadle.planning.plan import PlannedDataset

_logger = logging.getLogger(__name__)


class DatasetManagement(NamedTuple):
    """The shared state and the observers that a run needs for its datasets."""

    state: SharedState | None
    observers: tuple[Observer, ...]


_NOTHING_SAVED = DatasetManagement(None, ())


def managed_datasets(plan: Plan, catalog: Catalog, *, has_processes: bool) -> AbstractContextManager[DatasetManagement]:
    """Prepare the datasets that a run saves, and release each of them after its last consumer.

    Args:
        plan: the plan of the run.
        catalog: the catalog of the run.
        has_processes: whether nodes run in other processes, which have dataset objects of their own.

    Returns:
        A context for the length of the run, with the shared state and the observers for the run. At its end it raises the
        exception of a dataset whose release has failed.
    """
    saved = [each for each in plan.datasets if each.declared and each.producer is not None and not each.in_memory]
    return _managed(plan, saved, catalog, has_processes=has_processes) if saved else nullcontext(_NOTHING_SAVED)


@contextmanager
def _managed(
    plan: Plan, saved: Sequence[PlannedDataset], catalog: Catalog, *, has_processes: bool
) -> Iterator[DatasetManagement]:
    from treadle.execution.attempt.dataset_state import SharedState, run_folder
    from treadle.execution.runners.dataset_upkeep import DatasetUpkeep
    from treadle.io import identity  # noqa: F401 - forked workers inherit it: they identify the files that they save

    releasing = {each.name for each in saved if releases_itself(catalog.dataset_class(each.name))}
    for each in saved:
        if each.name not in releasing:
            catalog.release(each.name)  # its cache in this process would be outdated after this run
    catalog.remove_leftovers([each.name for each in saved])
    learning = [each.name for each in saved if not each.main_only and is_of_project(catalog.dataset_class(each.name))]
    with run_folder(wanted=has_processes and bool(learning)) as folder:
        state = SharedState(folder, learning) if folder is not None else None
        upkeep = DatasetUpkeep(
            plan,
            state,
            dataset=catalog.__getitem__,
            release=lambda name: catalog[name].release(),
            released=releasing,
            warn=_logger.warning,
        )
        yield DatasetManagement(state, (upkeep,) if upkeep else ())
        upkeep.check()
