"""A Kedro run as Treadle's executors receive it: in this process, or pickled for workers. State: only that of the catalog."""

from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from treadle.execution.packing.bundle import RunBundle
from treadle.execution.packing.node_groups import NodeGroups
from treadle.kedro.catalog import EngineCatalog, Home
from treadle.kedro.conduct import KedroConduct
from treadle.kedro.desk import Desk
from treadle.kedro.gathering import Merger
from treadle.kedro.hook_pickling import RunObjects
from treadle.kedro.hooks import CATALOG_HOOKS, pack_hooks, worker_plugins
from treadle.kedro.parcel import KedroParcel, pack_catalog, pack_others
from treadle.kedro.recipes import pack_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pluggy

    from treadle.execution.attempt.context import RunContext
    from treadle.io.memory import CopyMode
    from treadle.kedro.recipes import ConfigRecipe, Versions

_logger = logging.getLogger("kedro.runner.treadle")


@dataclass(frozen=True, slots=True)
class KedroMaterial(RunBundle):
    """A Kedro run.

    Attributes:
        manager: Kedro's hook manager; None if the run has no hooks.
        recipes: how to build datasets from configuration, by name.
        versions: the versions that versioned datasets are pinned to.
        given_id: the run's id as Kedro gave it, which may be None.
        is_async: load inputs and save outputs in threads.
        folder: a directory that the run's processes share; None if they need none.
        mergers: merge the data that plugins collect in workers; set when the run is pickled.
    """

    manager: pluggy.PluginManager | None
    recipes: Mapping[str, ConfigRecipe]
    versions: Mapping[str, Versions]
    given_id: str | None
    is_async: bool
    folder: str | None = None
    mergers: list[Merger] = field(default_factory=list)

    @property
    def _view(self) -> EngineCatalog:
        return cast("EngineCatalog", self.catalog)

    def copy_mode(self, dataset: int) -> CopyMode | None:
        """Return the declared copy mode of an in-memory dataset."""
        planned = self.plan.datasets[dataset]
        return self._view.copy_mode(planned.name) if planned.in_memory else None

    def start_plugins(self) -> None:
        """Do nothing: Kedro has no hook for it."""

    def context(self, *, interruptible: bool) -> RunContext:
        """Return the run for this process, with its own datasets and hooks."""
        catalog = copy.copy(self._view.kedro)
        catalog._datasets = dict(catalog._datasets)
        conduct = KedroConduct(
            Desk(catalog, self._carried(), state=self.state),
            self.manager,
            run_id=self.given_id,
            is_async=self.is_async,
            interruptible=interruptible,
        )
        return replace(RunBundle.context(self, interruptible=interruptible), strategy=conduct)

    def spec(self) -> tuple[bytes, frozenset[int]]:
        """Return the run for other processes.

        Returns:
            The pickled RunSpec, and the nodes that run in the main process: those with a function or dataset that cannot
            be pickled, or that confirm a dataset of the main process.

        Raises:
            HookError: a plugin can neither be pickled nor be created again.
            DatasetError: the catalog cannot be pickled.
        """
        nodes = [cast("Any", planned.node) for planned in self.plan.nodes]
        stay: set[int] = set()
        pickled = NodeGroups(nodes).pickled(stay)
        self._warn("These nodes run in the main process, because their functions cannot be pickled: %s", stay)
        packed, stuck = [], set()
        for name in self._view:
            if self._view.home(name) is Home.ANYWHERE:
                dataset = pack_dataset(
                    name,
                    self._view.dataset(name),
                    self.recipes.get(name),
                    versions=self.versions.get(name),
                    fresh=name in self._view.made,
                )
                if dataset is None:
                    stuck.add(name)
                else:
                    packed.append(dataset)
        held = {
            index for index, node in enumerate(nodes) if not stuck.isdisjoint((*node.inputs, *node.outputs, *node.kedro.confirms))
        }
        self._warn(
            "These nodes run in the main process, because their datasets have no configuration and cannot be pickled: %s", held
        )
        confirming = {
            index for index, node in enumerate(nodes) if any(self._view.home(name) is Home.PARENT for name in node.kedro.confirms)
        }
        asked = self.manager is not None and any(getattr(self.manager.hook, name).get_hookimpls() for name in CATALOG_HOOKS)
        objects = RunObjects(self._view.kedro)
        hooks = pack_hooks(self.manager, objects)
        self.mergers[:] = [Merger(tuple(worker_plugins(self.manager).values()), objects)]
        asked = asked or hooks.use_catalog
        parcel = KedroParcel(
            catalog=pack_catalog(self._view.kedro, for_hooks=asked),
            datasets=tuple(packed),
            others=pack_others(self._view.kedro, tuple(self._view)) if asked else (),
            carried=self._carried(),
            state=self.state,
            hooks=hooks,
            for_hooks=asked,
            folder=self.folder,
            run_id=self.given_id,
            is_async=self.is_async,
        )
        spec = replace(self._bare_spec(pickled), opener=pickle.dumps(parcel, protocol=5))
        return pickle.dumps(spec, protocol=5), frozenset(stay | held | confirming)

    def _carried(self) -> dict[str, int]:
        return {dataset.name: index for index, dataset in enumerate(self.plan.datasets) if dataset.in_memory}

    def _warn(self, text: str, nodes: set[int]) -> None:
        if nodes:
            _logger.warning(text, ", ".join(self.plan.nodes[index].name for index in sorted(nodes)))
