"""What an executor is given of a run, and the two forms a process has of it: in this one, or pickled for another."""

from __future__ import annotations

import logging
import pickle
import sys
from dataclasses import dataclass, replace
from types import FunctionType
from typing import TYPE_CHECKING, NamedTuple

from treadle.errors import NodeError
from treadle.execution.attempt import RunScope
from treadle.execution.failure import record_failure
from treadle.execution.in_band import pickle_in_band
from treadle.execution.job import RunSpec
from treadle.execution.pickling import CannotLeaveError, pickle_value
from treadle.execution.plugins import main_facts, pack_hooks, start_plugins
from treadle.hooks import implemented
from treadle.project.logging import snapshot_levels

if TYPE_CHECKING:
    import pluggy

    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline import Node
    from treadle.planning import Plan

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunMaterial:
    """A run as the loop hands it to an executor."""

    run_id: str
    plan: Plan
    catalog: Catalog
    hooks: pluggy.PluginManager | None
    is_async: bool = False

    def copy_mode(self, dataset: int) -> CopyMode | None:
        """Return the copy mode that was declared for an in-memory dataset."""
        planned = self.plan.datasets[dataset]
        return getattr(self.catalog[planned.name], "copy_mode", None) if planned.declared and planned.in_memory else None

    def scope(self, *, interruptible: bool) -> RunScope:
        """Return the run as this process has it: the very objects, nothing pickled."""
        plan = self.plan
        return RunScope(
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
        )

    def start_plugins(self) -> None:
        """Have the plugins set themselves up in this process, before the first node of the run that it runs.

        Raises:
            WorkerSetupError: a plugin failed.
        """
        if self.plan.nodes:
            start_plugins(self.hooks, main_facts(), self.run_id)

    def spec(self) -> tuple[bytes, frozenset[int]]:
        """Return the run as another process gets it.

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
        main_only = frozenset(
            index
            for index, node in enumerate(plan.nodes)
            if stay and not stay.isdisjoint((*node.node.inputs, *node.node.outputs, *node.node.confirms))
        )
        spec = replace(
            self._bare_spec(pickle_nodes([node.node for node in plan.nodes])),
            recipes=part.recipes,
            objects=tuple(objects),
            hooks=pack_hooks(self.hooks),
            catalog_class=pickle_in_band(type(self.catalog)),
            parameters=self._parameters(),
            save_version=part.save_version,
            is_async=self.is_async,
        )
        return pickle.dumps(spec, protocol=5), main_only

    def _bare_spec(self, nodes: PickledNodes) -> RunSpec:
        """Return what a RunSpec says whatever the project is: the nodes and their wiring."""
        plan = self.plan
        return RunSpec(
            run_id=self.run_id,
            levels=snapshot_levels(),
            node_groups=nodes.groups,
            node_at=nodes.at,
            lasting_groups=nodes.lasting,
            inputs=tuple(node.inputs for node in plan.nodes),
            outputs=tuple(node.outputs for node in plan.nodes),
            dataset_names=tuple(dataset.name for dataset in plan.datasets),
            in_memory=tuple(dataset.in_memory for dataset in plan.datasets),
            is_result=tuple(dataset.is_result for dataset in plan.datasets),
            timeouts=tuple(self.plan.timeouts.items()),
            copy_modes=tuple((index, mode.value) for index in range(len(plan.datasets)) if (mode := self.copy_mode(index))),
        )

    def _parameters(self) -> bytes | None:
        if self.hooks is None or not any(implemented(self.hooks, name) for name in _HOOKS_WITH_CATALOG):
            return None
        if "parameters" not in self.catalog:
            return None
        try:
            return pickle_in_band(self.catalog.load("parameters"))
        except CannotLeaveError:
            return None  # a node that takes such params runs in the main process, where hooks have them


_HOOKS_WITH_CATALOG = ("before_node_run", "after_node_run", "on_node_error")


class PickledNodes(NamedTuple):
    """Nodes in groups that share a function."""

    groups: tuple[bytes, ...]
    at: tuple[tuple[int, int], ...]
    """For each node, its group and its position there."""
    lasting: frozenset[int]
    """Groups whose function is found by its name: the same bytes are the same nodes, in any run."""


def pickle_nodes(nodes: list[Node], stay: set[int] | None = None) -> PickledNodes:
    """Pickle nodes in groups that share a function, each unpickled in a worker when its first node runs there.

    Args:
        nodes: in plan order.
        stay: where given, takes the indices of nodes that do not pickle, which are an error otherwise.

    Returns:
        The pickled groups, and where each node is in them.

    Raises:
        NodeError: a node's function does not pickle.
    """
    members: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        members.setdefault(id(node.func), []).append(index)
    groups: list[bytes] = []
    lasting = set()
    node_at = [(0, 0)] * len(nodes)
    for group, indices in enumerate(members.values()):
        batch = tuple(nodes[index] for index in indices)
        if _is_importable(batch[0].func):
            groups.append(pickle.dumps(batch, protocol=5))
            lasting.add(group)
        else:
            try:
                groups.append(_pickle_by_value(batch))
            except NodeError:
                if stay is None:
                    raise
                stay.update(indices)
                groups.append(b"")
        for position, index in enumerate(indices):
            node_at[index] = (group, position)
    return PickledNodes(tuple(groups), tuple(node_at), frozenset(lasting))


def _pickle_by_value(batch: tuple[Node, ...]) -> bytes:
    try:
        data, buffers = pickle_value(batch)
        return pickle_in_band(batch) if buffers else data
    except CannotLeaveError as exc:
        cause = exc.__cause__ if exc.__cause__ is not None else exc
        msg = (
            f"The function of node '{batch[0].name}' cannot go to a worker process: {cause}. Probably it holds on to "
            "something like a lock, an open file or a connection; make that inside the function, or run with "
            "runner='sequential' or 'thread'."
        )
        raise NodeError(msg, node=batch[0].name, failure=record_failure(cause, phase="setup")) from cause


def _is_importable(func: object) -> bool:
    """True for a plain function that a worker finds by its name; not for what the main script or a notebook defines."""
    if not isinstance(func, FunctionType) or func.__module__ in ("__main__", "__mp_main__"):
        return False
    return getattr(sys.modules.get(func.__module__), func.__qualname__, None) is func
