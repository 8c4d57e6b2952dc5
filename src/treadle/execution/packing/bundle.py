"""The bundle of a run that the loop passes to an executor. It has two forms: objects for this process, bytes for workers.

The module is long because both forms are made from the same attributes. Runs in the parent. State: the pickled wiring of the last
run of each pipeline, and pickled classes of catalogs.
"""

from __future__ import annotations

import logging
import os
import pickle
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from treadle.execution.attempt.context import RunContext
from treadle.execution.packing.dataset_types import pickled_definitions, pickled_with_classes
from treadle.execution.packing.node_groups import pickled_nodes
from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.protocol.messages import RunSpec, WatchedDatasets
from treadle.execution.values.importable import is_found_by_name
from treadle.execution.values.in_band import pickle_in_band
from treadle.hooks.registered import CATALOG_HOOKS, implemented, takes_catalog
from treadle.named_tuple import NamedTuple
from treadle.parameter_names import is_parameter
from treadle.project.logging import snapshot_levels
from treadle.secrets import known_secrets, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy
    from typing_extensions import Self

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.execution.attempt.validators import MemoryValidators
    from treadle.execution.packing.node_groups import PickledNodes
    from treadle.execution.protocol.messages import HookPayload
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.io.validation.declaration import ValidatorRecipe
    from treadle.pipeline.links import Links
    from treadle.planning import Plan
    from treadle.planning.reuse.decisions import Decisions

_logger = logging.getLogger(__name__)


class SplitSpec(NamedTuple):
    """A run for workers that receive each dataset when one of their nodes needs it.

    Attributes:
        spec: the description of the run, without these datasets.
        datasets: pickled datasets by name, as `OpenRun.add_dataset` takes them. It is empty if a hook takes the catalog, and may
            use any dataset: then all are in the spec.
        main_only: the nodes that must run in the main process.
    """

    spec: RunSpec
    datasets: Mapping[str, bytes]
    main_only: frozenset[int]


class RunBundle:
    """A run as the loop passes it to an executor. It is not changed; `changed` returns another one.

    Args:
        run_id: id of the run.
        plan: the plan.
        catalog: the catalog of its datasets.
        hooks: the registered hooks; None if there are none.
        is_async: whether a node's inputs are loaded concurrently, and its outputs saved concurrently.
        seeds: the seeds of the nodes' random numbers; None if no node is seeded.
        state: the state that dataset objects change when they save in another process; None if no dataset of the run has such
            state.
        records_outputs: whether the content of each persistent output is recorded after it was saved.
        reports_starts: whether an observer receives the start of each node, so that a worker of this process reports it.
        decisions: decides which nodes are up to date; None if all nodes run.
        workers: returns how many workers the run can use at most, so that no more are started; None if that is not known. It
            takes a while for a large plan, so it is called only if workers are missing.
    """

    def __init__(  # noqa: PLR0913 - one argument per attribute
        self,
        run_id: str,
        plan: Plan,
        catalog: Catalog,
        hooks: pluggy.PluginManager | None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - as in the run's other records
        *,
        seeds: Seeds | None = None,
        state: SharedState | None = None,
        records_outputs: bool = False,
        reports_starts: bool = True,
        decisions: Decisions | None = None,
        workers: Callable[[], int] | None = None,
    ) -> None:
        self.run_id = run_id
        self.plan = plan
        self.catalog = catalog
        self.hooks = hooks
        self.is_async = is_async
        self.seeds = seeds
        self.state = state
        self.records_outputs = records_outputs
        self.reports_starts = reports_starts
        self.decisions = decisions
        self.workers = workers

    def changed(self, **attributes: Any) -> Self:
        """Return a bundle with other values of these attributes."""
        changed = object.__new__(type(self))
        vars(changed).update(vars(self), **attributes)
        return changed

    @property
    def shared_folder(self) -> str | None:
        """The directory that the processes of the run share; None if they share no files."""
        return self.state.folder if self.state is not None else None

    def copy_mode(self, dataset: int) -> CopyMode | None:
        """Return the declared copy mode of an in-memory dataset; None if it declares none."""
        planned = self.plan.datasets[dataset]
        return getattr(self.catalog[planned.name], "copy_mode", None) if planned.declared and planned.in_memory else None

    def context(self, *, interruptible: bool) -> RunContext:
        """Return the form of the run for nodes in this process: the objects themselves, not pickled."""
        plan = self.plan
        return RunContext(
            run_id=self.run_id,
            process=os.getpid(),
            node=lambda index: plan.nodes[index].node,
            inputs=plan.inputs,
            outputs=plan.outputs,
            dataset_names=plan.dataset_names,
            in_memory=[dataset.in_memory for dataset in plan.datasets],
            copy_mode=self.copy_mode,
            open_catalog=lambda: self.catalog,
            hooks=self.hooks,
            interruptible=interruptible,
            is_async=self.is_async,
            timeouts=self.plan.timeouts,
            is_result=plan.is_result,
            seeds=self.seeds,
            state=self.state,
            records_outputs=self.records_outputs,
            validators=self._memory_validators(),
        )

    def start_plugins(self) -> None:
        """Call the plugins' `on_worker_start` in this process, before its first node of the run.

        Raises:
            WorkerSetupError: a plugin failed.
        """
        if self.plan.nodes and self.hooks is not None:
            from treadle.execution.attempt.plugins import main_facts, start_plugins

            start_plugins(self.hooks, main_facts(), self.run_id)

    def spec(self, *, all_secrets: bool = True) -> tuple[bytes, frozenset[int]]:
        """Return the form of the run for worker processes.

        Args:
            all_secrets: include all secrets that this process knows, to be masked; False for those that the spec contains.

        Returns:
            The pickled RunSpec, and the nodes that must run in the main process because their function or a dataset object that
            they use cannot be pickled.

        Raises:
            HookError: a plugin can neither be pickled nor imported in a worker.
        """
        spec, main_only = self._make_spec()
        if not all_secrets:
            rest = pickle.dumps(spec._replace(secrets=()), protocol=5)
            spec = spec._replace(secrets=secrets_in(rest, spec.secrets))
        return pickle.dumps(spec, protocol=5), main_only

    def spec_and_wiring(self) -> tuple[bytes, bytes, frozenset[int]]:
        """Return `spec` in parts, for workers that keep the wiring from one run to the next.

        Returns:
            The pickled RunSpec without its wiring, the pickled wiring, and the nodes that must run in the main process. The
            wiring has the same bytes in each run of a pipeline as long as its nodes and the kinds of its datasets do not change.

        Raises:
            HookError: a plugin can neither be pickled nor imported in a worker.
        """
        spec, main_only = self._make_spec()
        wiring, links = spec.wiring, self.plan.links
        before, pickled = _wirings.get(links, ((), b"")) if links is not None else ((), b"")
        if wiring != before:
            pickled = pickle.dumps(wiring, protocol=5)
            if links is not None:
                _wirings[links] = wiring, pickled
        return pickle.dumps(spec.without_wiring(), protocol=5), pickled, main_only

    def split_spec(self) -> SplitSpec:
        """Return the form of the run for workers that receive each dataset when one of their nodes needs it.

        Raises:
            HookError: a plugin can neither be pickled nor imported in a worker.
        """
        spec, main_only = self._make_spec()
        if takes_catalog(self.hooks):
            return SplitSpec(spec, {}, main_only)
        datasets = {recipe.name: pickle.dumps(recipe, protocol=5) for recipe in spec.recipes} | dict(spec.objects)
        return SplitSpec(spec._replace(recipes=(), objects=()), datasets, main_only)

    def modules(self) -> set[str]:
        """Return the modules from which the nodes, datasets and plugins of the run come."""
        files = [each.name for each in self.plan.datasets if each.declared and not each.in_memory]
        # Not `get_plugins`, which needs plugins that can be hashed: instances of dataclasses cannot.
        plugins = self.hooks.list_name_plugin() if self.hooks is not None else ()
        kinds = (type(plugin) for _name, plugin in plugins)
        sources = [node.node.func for node in self.plan.nodes], map(self._dataset_class, files), kinds
        return {name for each in chain(*sources) if isinstance(name := getattr(each, "__module__", None), str)}

    def _dataset_class(self, name: str) -> type:
        return self.catalog.dataset_class(name)

    def undecided_nodes(self) -> list[int]:
        """Return the indices of the nodes that may be up to date."""
        names = set(self.decisions.undecided) if self.decisions is not None else ()
        return [index for index, node in enumerate(self.plan.nodes) if node.name in names] if names else []

    def local_files(self) -> dict[str, str]:
        """Return the datasets in files of this machine that nodes use in workers, each with its absolute path."""
        from treadle.io.storage import local_file_of  # imported late: few backends send files

        names = self._names_in_workers()
        part = self.catalog.subset(names)
        paths = {recipe.name: recipe.absolute_local_path() for recipe in part.recipes}
        for name, dataset in part.objects:
            paths[name] = local_file_of(dataset)
        return {name: paths[name] or "" for name in names if paths.get(name)}

    def _names_in_workers(self) -> list[str]:
        """Return the names of the datasets that nodes load and save in workers."""
        used = {index for node in self.plan.nodes if not node.main_only for index in (*node.inputs, *node.outputs)}
        planned = enumerate(self.plan.datasets)
        return [each.name for index, each in planned if index in used and each.declared and not each.in_memory]

    def _make_spec(self) -> tuple[RunSpec, frozenset[int]]:
        plan = self.plan
        used = [dataset.name for dataset in plan.datasets if dataset.declared and not dataset.in_memory]
        used += [name for node in plan.nodes for name in node.node.confirms]
        part = self.catalog.subset(used)
        objects, recipes = [], []
        stay: dict[str, UnpicklableValueError] = {}  # the datasets that stay in this process
        for name, dataset in part.objects:
            try:
                objects.append((name, pickle_in_band(dataset)))
            except UnpicklableValueError as exc:
                stay[name] = exc
        for recipe in part.recipes:
            try:
                pickled = pickled_with_classes(recipe)
            except UnpicklableValueError as exc:
                stay[recipe.name] = exc
            else:
                if pickled is None:
                    recipes.append(recipe)
                else:
                    objects.append((recipe.name, pickled))
        main_only = self._nodes_of(stay)
        nodes = pickled_nodes(self.plan)
        main_only |= nodes.unpicklable.keys()
        self._warn_of_unpicklable(nodes, _logger)
        spec = self._base_spec(
            nodes,
            recipes=tuple(recipes),
            objects=tuple(objects),
            hooks=self._packed_hooks(),
            catalog_class=_pickled_class(type(self.catalog)),
            parameters=self._parameters(),
            save_version=part.save_version,
            is_async=self.is_async,
            watched=WatchedDatasets(self.state.folder, tuple(sorted(self.state.names))) if self.state is not None else None,
            validators=tuple(self._validators()),
        )
        return spec, frozenset(main_only)

    def _nodes_of(self, stay: Mapping[str, UnpicklableValueError]) -> set[int]:
        """Return the nodes that run in the main process because of datasets that cannot be pickled, and log their names.

        Args:
            stay: the names of these datasets, each with the error.
        """
        found, reasons = set(), []
        for index, planned in enumerate(self.plan.nodes if stay else ()):
            node = planned.node
            used = [name for name in dict.fromkeys((*node.inputs, *node.outputs, *node.confirms)) if name in stay]
            if not used:
                continue
            found.add(index)
            if not planned.main_only:
                why = ", ".join(f"'{name}': {stay[name].__cause__ or stay[name]}" for name in used)
                reasons.append(f"{planned.name} ({why})")
        if reasons:
            _logger.warning(
                "These nodes run in the main process, because datasets that they use cannot be pickled: %s. Create an object "
                "like a lock or a connection when the dataset is first used, or remove it in `__getstate__` of the dataset's "
                "class, so that its nodes can run in a worker; or give these the policy `run_in: main`.",
                ", ".join(reasons),
            )
        return found

    def _warn_of_unpicklable(self, nodes: PickledNodes, logger: logging.Logger) -> None:
        """Log which nodes run in the main process because of their functions; those that have to anyway are left out."""
        reasons = {index: why for index, why in nodes.unpicklable.items() if not self.plan.nodes[index].main_only}
        if reasons:
            logger.warning(
                "These nodes run in the main process, because their functions cannot be pickled: %s. Probably a function refers "
                "to an object like a lock, an open file or a connection. Create the object inside the function, so that its node "
                "can run in a worker; or give the node the policy `run_in: main`.",
                ", ".join(f"{self.plan.nodes[index].name} ({why})" for index, why in sorted(reasons.items())),
            )

    def _base_spec(self, nodes: PickledNodes, **parts: Any) -> RunSpec:
        """Return a RunSpec with the nodes and their inputs and outputs, and the given parts: datasets, hooks, and so on."""
        from treadle.execution.worker import process_state

        plan = self.plan
        declared = [index for index, dataset in enumerate(plan.datasets) if dataset.declared]
        return RunSpec(
            run_id=self.run_id,
            levels=snapshot_levels(),
            definitions=pickled_definitions(self.validator_paths()),
            node_groups=nodes.groups,
            node_at=nodes.at,
            lasting_groups=nodes.lasting,
            inputs=plan.inputs,
            outputs=plan.outputs,
            dataset_names=plan.dataset_names,
            in_memory=tuple([dataset.in_memory for dataset in plan.datasets]),
            is_result=plan.is_result,
            timeouts=tuple(self.plan.timeouts.items()),
            secrets=known_secrets(),
            seeds=self.seeds,
            records_outputs=self.records_outputs,
            process_state=process_state.describe(),
            copy_modes=tuple((index, mode.value) for index in declared if (mode := self.copy_mode(index))),
            **parts,
        )

    def validator_paths(self) -> Iterator[str]:
        """Yield the paths of the validators that the datasets of the run declare."""
        return (recipe.path for _index, recipe in self._declared_validators())

    def _validators(self) -> Iterator[tuple[int, ValidatorRecipe]]:
        """Yield the declared validator of each dataset in memory that has one, with its index."""
        datasets = self.plan.datasets
        return ((index, recipe) for index, recipe in self._declared_validators() if datasets[index].in_memory)

    def _declared_validators(self) -> Iterator[tuple[int, ValidatorRecipe]]:
        find = getattr(self.catalog, "validator_recipe", None)  # a catalog class of the project may not have it
        if find is None:
            return
        for index, dataset in enumerate(self.plan.datasets):
            if dataset.declared and not is_parameter(dataset.name) and (recipe := find(dataset.name)) is not None:
                yield index, recipe

    def _memory_validators(self) -> MemoryValidators | None:
        recipes = tuple(self._validators())
        if not recipes:
            return None
        from treadle.execution.attempt.validators import memory_validators

        return memory_validators(recipes, [dataset.name for dataset in self.plan.datasets])

    def _packed_hooks(self) -> tuple[HookPayload, ...]:
        if self.hooks is None:
            return ()
        from treadle.execution.attempt.plugins import pack_hooks

        return pack_hooks(self.hooks)

    def _parameters(self) -> bytes | None:
        if self.hooks is None or not any(implemented(self.hooks, name) for name in CATALOG_HOOKS):
            return None
        if "parameters" not in self.catalog:
            return None
        try:
            return pickle_in_band(self.catalog.load("parameters"))
        except UnpicklableValueError:
            return None  # a node that uses these params runs in the main process, where hooks can load them


_classes: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()
"""Pickled classes that can be imported by name; they are pickled once."""


def _pickled_class(kind: type) -> bytes:
    pickled = _classes.get(kind)
    if pickled is None:
        if not is_found_by_name(kind):
            return pickle_in_band(kind)
        pickled = _classes[kind] = pickle.dumps(kind, protocol=5)
    return pickled


_wirings: WeakKeyDictionary[Links, tuple[tuple[Any, ...], bytes]] = WeakKeyDictionary()
"""The wiring of the last run of each pipeline, and its pickle."""
