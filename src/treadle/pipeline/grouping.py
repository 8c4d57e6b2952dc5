"""Group the nodes of a pipeline by namespace, for an external scheduler (Airflow, a job queue) that runs each as a task.

State: none. `pipeline_class.py` has it as a method, `group_by_namespace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import CircularDependencyError, PipelineError
from treadle.named_tuple import NamedTuple
from treadle.pipeline.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.pipeline.node import Node


class NodeGroup(NamedTuple):
    """Nodes that can run as one task.

    Attributes:
        name: the namespace; for a node without one, the name of the node.
        namespace: the namespace; None for a node without one.
        nodes: names of the nodes, in order.
        depends_on: names of the groups that have to finish first.
    """

    name: str
    namespace: str | None
    nodes: tuple[str, ...]
    depends_on: tuple[str, ...]


def group_by_namespace(nodes: Sequence[Node], graph: Graph) -> tuple[NodeGroup, ...]:
    """Group the nodes by top-level namespace; a node without a namespace is a separate group. Takes linear time.

    Args:
        nodes: the pipeline's nodes, in order.
        graph: their dependencies.

    Returns:
        The groups, each after those it depends on.

    Raises:
        CircularDependencyError: two groups depend on each other; the error names the nodes that cause it.
        PipelineError: a node without a namespace has the name of one.
    """
    keys = [(True, node.namespace.partition(".")[0]) if node.namespace else (False, node.name) for node in nodes]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    group_of = [number[key] for key in keys]
    members: list[list[int]] = [[] for _ in number]
    parents: list[dict[int, tuple[int, int]]] = [{} for _ in number]  # parent group -> the pair of nodes that causes it
    for index, group in enumerate(group_of):
        members[group].append(index)
        for before in graph.parents[index]:
            if group_of[before] != group:
                parents[group].setdefault(group_of[before], (before, index))
    between = Graph.from_parents([sorted(each) for each in parents])
    labels = [name for _, name in number]
    for name in labels:
        if (True, name) in number and (False, name) in number:
            msg = (
                f"A node and a namespace are both called {name!r}, so their groups would have the same name. Rename one of them."
            )
            raise PipelineError(msg, nodes=(name,))
    if cycle := between.cycle():
        raise _circular(nodes, labels, [(cycle[index - 1], group) for index, group in enumerate(cycle)], parents)
    return tuple(
        NodeGroup(
            labels[group],
            labels[group] if nodes[members[group][0]].namespace else None,
            tuple(nodes[index].name for index in members[group]),
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
    steps = "; ".join(f"'{nodes[after].name}' depends on '{nodes[before].name}'" for before, after in pairs)
    groups = ", ".join(f"'{labels[group]}'" for _, group in edges)
    msg = (
        f"The groups {groups} cannot be run one after the other, because they depend on each other: {steps}. Put the nodes "
        "between into the namespace too, or split it."
    )
    return CircularDependencyError(msg, nodes=tuple(dict.fromkeys(nodes[index].name for pair in pairs for index in pair)))
