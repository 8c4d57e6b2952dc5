"""A run as it is passed to an executor, and its two forms: for nodes in this process, or pickled for worker processes.

State: pickled nodes, kept with their pipeline. Runs in the parent.
"""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from treadle.execution.attempt.context import RunContext
from treadle.execution.attempt.plugins import main_facts, pack_hooks, start_plugins
from treadle.execution.packing.node_groups import NodeGroups
from treadle.execution.protocol.handles import CannotLeaveError
from treadle.execution.protocol.messages import RunSpec, WatchedDatasets
from treadle.execution.values.in_band import pickle_in_band
from treadle.execution.worker import process_state
from treadle.hooks import implemented
from treadle.project.logging import snapshot_levels
from treadle.secrets import known_secrets

if TYPE_CHECKING:
    import pluggy

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.execution.packing.node_groups import PickledNodes
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline.links import Links
    from treadle.planning import Plan

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunBundle:
    """A run as the loop passes it to an executor."""

    run_id: str
    plan: Plan
    catalog: Catalog
    hooks: pluggy.PluginManager | None
    is_async: bool = False
    seeds: Seeds | None = field(default=None, kw_only=True)
    state: SharedState | None = field(default=None, kw_only=True)
    """What datasets learn by saving in other processes; None if no dataset of the run can."""

    def copy_mode(self, dataset: int) -> CopyMode | None:
        """Return the copy mode that was declared for an in-memory dataset."""
        planned = self.plan.datasets[dataset]
        return getattr(self.catalog[planned.name], "copy_mode", None) if planned.declared and planned.in_memory else None

    def context(self, *, interruptible: bool) -> RunContext:
        """Return the run for nodes in this process: the objects themselves, nothing pickled."""
        plan = self.plan
        return RunContext(
            run_id=self.run_id,
            node=lambda index: plan.nodes[index].node,
            inputs=[node.inputs for node in plan.nodes],
            outputs=[node.outputs for node in plan.nodes],
            dataset_names=[dataset.name for dataset in plan.datasets],
            in_memory=[dataset.in_memory for dataset in plan.datasets],
            copy_mode=self.copy_mode,
            catalog=self.catalog,
            hooks=self.hooks,
            interruptible=interruptible,
            is_async=self.is_async,
            timeouts=self.plan.timeouts,
            is_result=[dataset.is_result for dataset in plan.datasets],
            seeds=self.seeds,
            state=self.state,
        )

    def start_plugins(self) -> None:
        """Have the plugins set themselves up in this process, before the first node of the run that it runs.

        Raises:
            WorkerSetupError: a plugin failed.
        """
        if self.plan.nodes and self.hooks is not None:
            start_plugins(self.hooks, main_facts(), self.run_id)

    def spec(self) -> tuple[bytes, frozenset[int]]:
        """Return the run for worker processes.

        Returns:
            The pickled RunSpec, and the nodes that must run in the main process, because a dataset of theirs that was
            given as an object does not pickle.

        Raises:
            NodeError: a node's function does not pickle.
            HookError: a plugin neither pickles nor can be found again.
        """
        plan = self.plan
        used = [dataset.name for dataset in plan.datasets if dataset.declared and not dataset.in_memory]
        used += [name for node in plan.nodes for name in node.node.confirms]
        part = self.catalog.subset(used)
        objects, stay = [], set()
        for name, dataset in part.objects:
            try:
                objects.append((name, pickle_in_band(dataset)))
            except CannotLeaveError:
                stay.add(name)
        main_only = [
            index
            for index, node in enumerate(plan.nodes if stay else ())
            if not stay.isdisjoint((*node.node.inputs, *node.node.outputs, *node.node.confirms))
        ]
        spec = replace(
            self._bare_spec(self._nodes()),
            recipes=part.recipes,
            objects=tuple(objects),
            hooks=pack_hooks(self.hooks),
            catalog_class=pickle_in_band(type(self.catalog)),
            parameters=self._parameters(),
            save_version=part.save_version,
            is_async=self.is_async,
            watched=WatchedDatasets(self.state.folder, tuple(sorted(self.state.names))) if self.state is not None else None,
        )
        return pickle.dumps(spec, protocol=5), frozenset(main_only)

    def _bare_spec(self, nodes: PickledNodes) -> RunSpec:
        """Return what a RunSpec says whatever the project is: the nodes and their wiring."""
        plan = self.plan
        declared = [index for index, dataset in enumerate(plan.datasets) if dataset.declared]
        return RunSpec(
            run_id=self.run_id,
            levels=snapshot_levels(),
            node_groups=nodes.groups,
            node_at=nodes.at,
            lasting_groups=nodes.lasting,
            inputs=tuple([node.inputs for node in plan.nodes]),
            outputs=tuple([node.outputs for node in plan.nodes]),
            dataset_names=tuple([dataset.name for dataset in plan.datasets]),
            in_memory=tuple([dataset.in_memory for dataset in plan.datasets]),
            is_result=tuple([dataset.is_result for dataset in plan.datasets]),
            timeouts=tuple(self.plan.timeouts.items()),
            secrets=known_secrets(),
            seeds=self.seeds,
            process_state=process_state.describe(),
            copy_modes=tuple((index, mode.value) for index in declared if (mode := self.copy_mode(index))),
        )

    def _nodes(self) -> PickledNodes:
        """Return the nodes pickled; those that another process finds by name are so once for all runs of one pipeline."""
        links = self.plan.links
        if links is None:
            return NodeGroups([node.node for node in self.plan.nodes]).pickled()
        groups = _groups.get(links)
        if groups is None:
            groups = _groups[links] = NodeGroups(links.nodes)
        return groups.pickled()

    def _parameters(self) -> bytes | None:
        if self.hooks is None or not any(implemented(self.hooks, name) for name in _HOOKS_WITH_CATALOG):
            return None
        if "parameters" not in self.catalog:
            return None
        try:
            return pickle_in_band(self.catalog.load("parameters"))
        except CannotLeaveError:
            return None  # a node that takes such params runs in the main process, where hooks have them


_groups: WeakKeyDictionary[Links, NodeGroups] = WeakKeyDictionary()

_HOOKS_WITH_CATALOG = ("before_node_run", "after_node_run", "on_node_error")
