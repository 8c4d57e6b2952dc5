"""Prepare a Kedro run for Treadle's executors: as it is for the main process, pickled for workers.

Runs in the main process. State: the catalog, the hook manager, and the mergers of the plugins' data.
"""

from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from treadle.execution.packing.bundle import RunBundle, SplitSpec
from treadle.execution.packing.node_groups import NodeGroups
from treadle.hooks.registered import takes_catalog
from treadle.io.storage import local_file_of
from treadle.kedro.attempt_strategy import KedroAttemptStrategy
from treadle.kedro.catalog import EngineCatalog, Placement
from treadle.kedro.dataset_pickling import pack_dataset
from treadle.kedro.hook_pickling import RunObjects
from treadle.kedro.hooks import pack_hooks, worker_plugins
from treadle.kedro.pickled_run import PickledKedroRun, pack_catalog, pack_unused_datasets
from treadle.kedro.plugin_state import PluginStateMerger
from treadle.kedro.process_catalog import ProcessCatalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pluggy

    from treadle.execution.attempt.context import RunContext
    from treadle.execution.protocol.messages import RunSpec
    from treadle.io.memory import CopyMode
    from treadle.kedro.dataset_pickling import ConfigRecipe, Versions
    from treadle.session.tracing import NodeTracing

_logger = logging.getLogger("kedro.runner.treadle")


class KedroRunBundle(RunBundle):
    """The bundle of a Kedro run.

    Args:
        bundle: the attributes that every run has.
        manager: Kedro's hook manager; None if the run has no hooks.
        recipes: how to build datasets from configuration, by name.
        versions: the versions that versioned datasets are pinned to.
        given_id: the run id that Kedro passed to the runner, which may be None.
        folder: a directory that the run's processes share; None if they share no files.
        tracing: makes the span of a node the current one while its function runs; None if the run is not traced.

    Attributes:
        mergers: merge the data that plugins collect in workers; set when the run is pickled.
    """

    def __init__(
        self,
        bundle: RunBundle,
        *,
        manager: pluggy.PluginManager | None,
        recipes: Mapping[str, ConfigRecipe],
        versions: Mapping[str, Versions],
        given_id: str | None,
        folder: str | None = None,
        tracing: NodeTracing | None = None,
    ) -> None:
        super().__init__(**vars(bundle))
        self.manager = manager
        self.recipes = recipes
        self.versions = versions
        self.given_id = given_id
        self.folder = folder
        self.mergers: list[PluginStateMerger] = []
        self.tracing = tracing

    @property
    def _engine_catalog(self) -> EngineCatalog:
        return cast("EngineCatalog", self.catalog)

    @property
    def shared_folder(self) -> str | None:
        """The directory that the processes of the run share; None if they share no files."""
        return self.folder

    def copy_mode(self, dataset: int) -> CopyMode | None:
        """Return the declared copy mode of an in-memory dataset."""
        planned = self.plan.datasets[dataset]
        return self._engine_catalog.copy_mode(planned.name) if planned.in_memory else None

    def start_plugins(self) -> None:
        """Do nothing: Kedro has no hook for the start of a worker."""

    def context(self, *, interruptible: bool) -> RunContext:
        """Return the run's context for the main process."""
        catalog = copy.copy(self._engine_catalog.kedro)
        catalog._datasets = dict(catalog._datasets)
        strategy = KedroAttemptStrategy(
            ProcessCatalog(catalog, self._transferred(), state=self.state),
            self.manager,
            run_id=self.given_id,
            is_async=self.is_async,
            interruptible=interruptible,
            tracing=self.tracing,
        )
        return RunBundle.context(self, interruptible=interruptible)._replace(strategy=strategy)

    def _dataset_class(self, name: str) -> type:
        return type(self._engine_catalog.dataset(name))

    def validator_paths(self) -> Iterator[str]:
        """Yield the paths of the validators that the datasets of the run declare in Kedro's catalog."""
        specs = getattr(self._engine_catalog.kedro, "validator_specs", {})  # Kedro 1.6 or later
        for name in self._engine_catalog:
            path = getattr(specs.get(name), "class_path", None)
            if isinstance(path, str):
                yield path

    def local_files(self) -> dict[str, str]:
        """Return the datasets in files of this machine that nodes use in workers, each with its absolute path."""
        catalog = self._engine_catalog
        names = [name for name in self._names_in_workers() if catalog.placement(name) is Placement.ANY_PROCESS]
        return {name: path for name in names if (path := local_file_of(catalog.dataset(name))) is not None}

    def split_spec(self) -> SplitSpec:
        """Return the run for workers that receive each dataset when one of their nodes needs it.

        Raises:
            HookError: a plugin can neither be pickled nor be created again.
            DatasetError: the catalog cannot be pickled.
        """
        base, run, main_only = self._pack()
        if run.for_hooks:
            return SplitSpec(base._replace(opener=pickle.dumps(run, protocol=5)), {}, main_only)
        datasets = {dataset.name: pickle.dumps(dataset, protocol=5) for dataset in run.datasets}
        return SplitSpec(base._replace(opener=pickle.dumps(replace(run, datasets=()), protocol=5)), datasets, main_only)

    def _make_spec(self) -> tuple[RunSpec, frozenset[int]]:
        base, run, main_only = self._pack()
        return base._replace(opener=pickle.dumps(run, protocol=5)), main_only

    def _pack(self) -> tuple[RunSpec, PickledKedroRun, frozenset[int]]:
        """Prepare the run for worker processes.

        Returns:
            The RunSpec without the run of Kedro's; that run; and the nodes that run in the main process: those with a function or
            dataset that cannot be pickled, or that confirm a dataset of the main process.
        """
        nodes = [cast("Any", planned.node) for planned in self.plan.nodes]
        pickled = NodeGroups(nodes).pickled()
        self._warn_of_unpicklable(pickled, _logger)
        packed, unpicklable = [], set()
        for name in self._engine_catalog:
            if self._engine_catalog.placement(name) is Placement.ANY_PROCESS:
                dataset = pack_dataset(
                    name,
                    self._engine_catalog.dataset(name),
                    self.recipes.get(name),
                    versions=self.versions.get(name),
                    fresh=name in self._engine_catalog.produced,
                )
                if dataset is None:
                    unpicklable.add(name)
                else:
                    packed.append(dataset)
        held_by_dataset = {
            index
            for index, node in enumerate(nodes)
            if not unpicklable.isdisjoint((*node.inputs, *node.outputs, *node.kedro.confirms))
        }
        self._warn(
            "These nodes run in the main process, because their datasets have no configuration and cannot be pickled: %s",
            held_by_dataset,
        )
        confirming = {
            index
            for index, node in enumerate(nodes)
            if any(self._engine_catalog.placement(name) is Placement.MAIN_PROCESS for name in node.kedro.confirms)
        }
        for_hooks = takes_catalog(self.manager)
        objects = RunObjects(self._engine_catalog.kedro)
        hooks = pack_hooks(self.manager, objects)
        plugins = tuple(worker_plugins(self.manager).values())
        self.mergers[:] = [PluginStateMerger(plugins, objects, together=hooks.together is not None)]
        for_hooks = for_hooks or hooks.use_catalog
        pickled_run = PickledKedroRun(
            catalog=pack_catalog(self._engine_catalog.kedro, for_hooks=for_hooks),
            datasets=tuple(packed),
            unused_datasets=pack_unused_datasets(self._engine_catalog.kedro, tuple(self._engine_catalog)) if for_hooks else (),
            transferred=self._transferred(),
            state=self.state,
            hooks=hooks,
            for_hooks=for_hooks,
            folder=self.folder,
            run_id=self.given_id,
            is_async=self.is_async,
            tracing=self.tracing,
        )
        return self._base_spec(pickled), pickled_run, frozenset(pickled.unpicklable.keys() | held_by_dataset | confirming)

    def _transferred(self) -> dict[str, int]:
        return {dataset.name: index for index, dataset in enumerate(self.plan.datasets) if dataset.in_memory}

    def _warn(self, text: str, nodes: set[int]) -> None:
        if nodes:
            _logger.warning(text, ", ".join(self.plan.nodes[index].name for index in sorted(nodes)))
