"""The nodes and datasets of a pipeline as integer indices: inputs and outputs of each node, and dependencies between nodes.

`link` computes them in one pass; a pipeline caches the result for its later runs. State: none. Neighbour: the planner combines
the links with a catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.parameter_names import is_parameter
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.pipeline.graph import Edges
    from treadle.pipeline.node import Node


class Links:
    """Nodes as indices into `nodes`, datasets as indices into `names`.

    Args:
        nodes: the nodes in topological order.
        inputs, outputs: for each node, its datasets, in its own order.
        parents, children: for each node, the nodes that it depends on, and the nodes that depend on it.
        names: the names of datasets as written: `table@pandas` and `table@spark` are two names, but one dataset in the graph.
        producers: for each dataset, the node that produces it under exactly this name.
        consumers: for each dataset, the nodes that use it under exactly this name.
        results: for each dataset, whether a node produces it and no node uses it, in any format.
        made: base names of all outputs.
        free_inputs: names of the datasets that nodes use and no node produces, in any format.
        confirmed: names of the datasets that nodes confirm.
        with_parameters: the nodes that use a parameter.
    """

    def __init__(  # noqa: PLR0913 - one argument per attribute, passed by name
        self,
        *,
        nodes: tuple[Node, ...],
        inputs: Edges,
        outputs: Edges,
        parents: Edges,
        children: Edges,
        names: tuple[str, ...],
        producers: tuple[int | None, ...],
        consumers: Edges,
        results: tuple[bool, ...],
        made: frozenset[str],
        free_inputs: tuple[str, ...],
        confirmed: tuple[str, ...],
        with_parameters: tuple[Node, ...],
    ) -> None:
        self.nodes = nodes
        self.inputs = inputs
        self.outputs = outputs
        self.parents = parents
        self.children = children
        self.names = names
        self.producers = producers
        self.consumers = consumers
        self.results = results
        self.made = made
        self.free_inputs = free_inputs
        self.confirmed = confirmed
        self.with_parameters = with_parameters


def link(nodes: Sequence[Node]) -> Links:
    """Number the datasets of nodes, and find their producers and consumers.

    Args:
        nodes: the nodes in topological order; each dataset has one producer.

    Returns:
        The links, computed in linear time.
    """
    index_of: dict[str, int] = {}
    producer_of: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for name in node.outputs:
            index_of.setdefault(name, len(index_of))
            producer_of[base_name(name)] = position
        for name in node.inputs:
            index_of.setdefault(name, len(index_of))
    consumers: list[list[int]] = [[] for _ in index_of]
    producers: list[int | None] = [None] * len(index_of)
    consumed: set[str] = set()
    children: list[dict[int, None]] = [{} for _ in nodes]
    parents: list[tuple[int, ...]] = []
    for position, node in enumerate(nodes):
        node_parents: dict[int, None] = {}
        for name in node.inputs:
            consumers[index_of[name]].append(position)
            base = base_name(name)
            consumed.add(base)
            if (parent := producer_of.get(base)) is not None:
                node_parents[parent] = None
                children[parent][position] = None
        for name in node.outputs:
            producers[index_of[name]] = position
        parents.append(tuple(node_parents))
    results = [
        producer is not None and base_name(name) not in consumed for name, producer in zip(index_of, producers, strict=True)
    ]
    return Links(
        nodes=tuple(nodes),
        inputs=tuple([tuple([index_of[name] for name in node.inputs]) for node in nodes]),
        outputs=tuple([tuple([index_of[name] for name in node.outputs]) for node in nodes]),
        parents=tuple(parents),
        children=tuple(map(tuple, children)),
        names=tuple(index_of),
        producers=tuple(producers),
        consumers=tuple(map(tuple, consumers)),
        results=tuple(results),
        made=frozenset(producer_of),
        free_inputs=tuple([name for name in index_of if base_name(name) not in producer_of]),
        confirmed=tuple(dict.fromkeys([name for node in nodes for name in node.confirms])),
        with_parameters=tuple([node for node in nodes if any(map(is_parameter, node.inputs))]),
    )
