"""Group the nodes of a pipeline by namespace, for an external scheduler (Airflow, a job queue) that runs each as a task.

Pure: nodes and their dependencies in, groups out. `pipeline.py` offers it as `group_by_namespace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.errors import CircularDependencyError, PipelineError
from treadle.pipeline.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.pipeline.node import Node


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that can run as one task.

    Attributes:
        name: the namespace, or the name of the one node where it has none.
        namespace: the namespace; None for a node without one.
        nodes: names of the nodes, in order.
        depends_on: names of the groups that have to be done before.
    """

    name: str
    namespace: str | None
    nodes: tuple[str, ...]
    depends_on: tuple[str, ...]


def group_by_namespace(nodes: Sequence[Node], graph: Graph) -> tuple[NodeGroup, ...]:
    """Put the nodes of each top-level namespace into a group, any other node into one of its own. Linear.

    Args:
        nodes: the pipeline's nodes, in order.
        graph: their dependencies.

    Returns:
        The groups, each after those it depends on.

    Raises:
        CircularDependencyError: two groups wait for one another; names the nodes at which they do.
        PipelineError: a node without a namespace has the name of one.
    """
    keys = [(True, node.namespace.partition(".")[0]) if node.namespace else (False, node.name) for node in nodes]
    number = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    group_of = [number[key] for key in keys]
    members: list[list[int]] = [[] for _ in number]
    parents: list[dict[int, tuple[int, int]]] = [{} for _ in number]  # group waited for -> the two nodes that show it
    for place, group in enumerate(group_of):
        members[group].append(place)
        for before in graph.parents[place]:
            if group_of[before] != group:
                parents[group].setdefault(group_of[before], (before, place))
    between = Graph.from_parents([sorted(each) for each in parents])
    labels = [name for _, name in number]
    for name in labels:
        if (True, name) in number and (False, name) in number:
            msg = f"A node and a namespace are both called {name!r}, so their groups cannot be told apart. Rename one of them."
            raise PipelineError(msg, nodes=(name,))
    if cycle := between.cycle():
        raise _circular(nodes, labels, [(cycle[place - 1], group) for place, group in enumerate(cycle)], parents)
    return tuple(
        NodeGroup(
            labels[group],
            labels[group] if nodes[members[group][0]].namespace else None,
            tuple(nodes[place].name for place in members[group]),
            tuple(labels[before] for before in between.parents[group]),
        )
        for group in between.order()
    )


def _circular(
    nodes: Sequence[Node],
    labels: Sequence[str],
    edges: Sequence[tuple[int, int]],
    parents: Sequence[Mapping[int, tuple[int, int]]],
) -> CircularDependencyError:
    pairs = [parents[group][before] for before, group in edges]
    steps = "; ".join(f"'{nodes[after].name}' waits for '{nodes[before].name}'" for before, after in pairs)
    groups = ", ".join(f"'{labels[group]}'" for _, group in edges)
    msg = (
        f"The groups {groups} cannot be run one after the other, because they wait for one another: {steps}. Put the nodes "
        "between into the namespace too, or split it."
    )
    return CircularDependencyError(msg, nodes=tuple(dict.fromkeys(nodes[place].name for pair in pairs for place in pair)))
