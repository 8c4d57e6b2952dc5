"""How long a recorded run would take with other numbers of workers: the scheduler is simulated on recorded times.

The graph of the record is all that is needed, so the answer does not depend on the project as it is now. State: none. Neighbours:
`treadle.execution.scheduling.simulator` simulates; `treadle sessions what-if` and the report show the same estimates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from treadle.events import Outcome
from treadle.execution.scheduling.simulator import bounds, simulate
from treadle.named_tuple import NamedTuple
from treadle.observe.store.run_graph import MEMORY, PARAMETERS, RunGraph, children_of
from treadle.pipeline.policy import NodePolicy
from treadle.planning.plan import Plan, PlannedDataset, PlannedNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.store import RunRecord
    from treadle.pipeline import Node


class Estimates(NamedTuple):
    """The simulated durations of a recorded run.

    Attributes:
        makespans: (workers, seconds, lower bound in seconds) for each number of workers.
        critical_path: seconds of the longest path, the lower bound for any number of workers.
        critical_nodes: (node, seconds) along the longest path, in order.
        work: total seconds of all nodes.
        recorded: seconds from the first node's start to the last node's end in the recorded run.
    """

    makespans: tuple[tuple[int, float, float], ...]
    critical_path: float
    critical_nodes: tuple[tuple[str, float], ...]
    work: float
    recorded: float

    def at(self, workers: int) -> float | None:
        """Return the seconds with a number of workers; None if it was not simulated."""
        return next((seconds for count, seconds, _least in self.makespans if count == workers), None)

    def table(self, now: int) -> list[tuple[int, float | None, float]]:
        """Return (workers, seconds, lower bound) for 1 to 32 workers; seconds is None for a number that was not simulated.

        Args:
            now: the number of workers of the run, which is in the table as well.
        """
        counts = sorted({*range(1, 33), now, *(count for count, *_ in self.makespans)})
        return [(count, self.at(count), self.least(count)) for count in counts]

    def least(self, workers: int) -> float:
        """Return the lower bound for a number of workers, in seconds."""
        return max(self.critical_path, self.work / workers)


def estimate(plan: Plan, spans: Sequence[tuple[float, float]], limits: Mapping[str, int], workers: Sequence[int]) -> Estimates:
    """Simulate a plan with several numbers of workers.

    The start of workers and the transfer of values take no time in the simulation, so the result shows the limits of the graph
    and of limited resources.

    Args:
        plan: the plan.
        spans: when each node started and finished, by plan index.
        limits: how much of each resource is available; at least as much as each node needs.
        workers: the numbers of workers.
    """
    seconds = [finished - started for started, finished in spans]
    limit = bounds(plan, seconds)

    def makespan(count: int) -> float:
        return limit.work if count == 1 else simulate(plan, seconds, count, limits=limits).makespan

    return Estimates(
        makespans=tuple((count, makespan(count), limit.lower(count)) for count in workers),
        critical_path=limit.critical_path,
        critical_nodes=tuple((plan.nodes[index].name, seconds[index]) for index in limit.critical_nodes),
        work=limit.work,
        recorded=max((end for _, end in spans), default=0.0) - min((start for start, _ in spans), default=0.0),
    )


def estimate_run(run: RunRecord, workers: Sequence[int]) -> Estimates | None:
    """Simulate a recorded run with several numbers of workers.

    Args:
        run: the run.
        workers: the numbers of workers.

    Returns:
        The estimates; None if the graph of the run or the time of one of its nodes is unknown.
    """
    if run.graph is None:
        return None
    took = node_spans(run)
    if not took or any(node.name not in took for node in run.graph.nodes):
        return None
    plan = plan_of(run.graph)
    limits = dict(run.graph.limits)
    return estimate(plan, [took[node.name] for node in plan.nodes], limits, workers)


def node_spans(run: RunRecord) -> dict[str, tuple[float, float]]:
    """Return when each node of a run started and finished, by name; a node that was up to date took no time.

    Args:
        run: the run.

    Returns:
        The spans of the nodes that succeeded or were up to date; empty if no node ran.
    """
    took = {
        node.node: (node.started, node.finished)
        for node in run.nodes
        if node.outcome is Outcome.SUCCEEDED and node.started is not None and node.finished is not None
    }
    if not took:
        return {}
    first = min(started for started, _finished in took.values())
    return {**{node.node: (first, first) for node in run.nodes if node.outcome is Outcome.REUSED}, **took}


def plan_of(graph: RunGraph) -> Plan:
    """Return the plan of a recorded graph, which can be simulated but not run.

    Args:
        graph: the graph of a run.
    """
    children = children_of(graph.nodes)
    producers: dict[int, int] = {}
    consumers: list[list[int]] = [[] for _ in graph.datasets]
    for index, node in enumerate(graph.nodes):
        producers.update(dict.fromkeys(node.outputs, index))
        for dataset in node.inputs:
            consumers[dataset].append(index)
    no_node = cast("Node", None)  # a simulation calls no function
    nodes = tuple(
        PlannedNode(each.name, no_node, each.inputs, each.outputs, each.parents, tuple(children[index]), each.main_only)
        for index, each in enumerate(graph.nodes)
    )
    datasets = tuple(
        PlannedDataset(
            each.name,
            in_memory=each.kind in (MEMORY, PARAMETERS),
            main_only=False,
            declared=False,
            producer=producers.get(index),
            consumers=tuple(consumers[index]),
            is_result=index in producers and not consumers[index],
        )
        for index, each in enumerate(graph.datasets)
    )
    has_resources = any(node.resources for node in graph.nodes)
    policies: tuple[Any, ...] = ()
    if has_resources:
        policies = tuple(NodePolicy(resources=dict(each.resources)) if each.resources else None for each in graph.nodes)
    return Plan(nodes, datasets, policies)
