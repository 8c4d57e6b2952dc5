"""A pipeline as numbers: the inputs and outputs of each node, and the dependencies between nodes.

`link` makes the links of nodes in one pass; a pipeline keeps its own, so that whoever runs it many times pays for them once.
The planner adds what a catalog knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.pipeline.graph import Edges
    from treadle.pipeline.node import Node


@dataclass(frozen=True, eq=False)
class Links:
    """Nodes by their places in a topological order, datasets by their places in `names`.

    Attributes:
        nodes: the nodes.
        inputs, outputs: for each node, its datasets, in its own order.
        parents, children: for each node, those that it waits for, and those that wait for it.
        names: the datasets, each as written: `table@pandas` and `table@spark` are two of them, and one to the graph.
        producers: for each dataset, the node that makes it under this very name.
        consumers: for each dataset, the nodes that take it under this very name.
        results: for each dataset, whether a node makes it and none takes it, under whatever format.
        made: base names of what the nodes make.
    """

    nodes: tuple[Node, ...]
    inputs: Edges
    outputs: Edges
    parents: Edges
    children: Edges
    names: tuple[str, ...]
    producers: tuple[int | None, ...]
    consumers: Edges
    results: tuple[bool, ...]
    made: frozenset[str]


def link(nodes: Sequence[Node]) -> Links:
    """Number the datasets of nodes and find who makes and who takes them.

    Args:
        nodes: in a topological order; no dataset is made twice.

    Returns:
        The links. Linear in nodes + edges.
    """
    place_of: dict[str, int] = {}
    maker_of: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for name in node.outputs:
            place_of.setdefault(name, len(place_of))
            maker_of[base_name(name)] = position
        for name in node.inputs:
            place_of.setdefault(name, len(place_of))
    consumers: list[list[int]] = [[] for _ in place_of]
    producers: list[int | None] = [None] * len(place_of)
    consumed: set[str] = set()
    children: list[dict[int, None]] = [{} for _ in nodes]
    parents: list[tuple[int, ...]] = []
    for position, node in enumerate(nodes):
        mine: dict[int, None] = {}
        for name in node.inputs:
            consumers[place_of[name]].append(position)
            base = base_name(name)
            consumed.add(base)
            if (parent := maker_of.get(base)) is not None:
                mine[parent] = None
                children[parent][position] = None
        for name in node.outputs:
            producers[place_of[name]] = position
        parents.append(tuple(mine))
    results = [maker is not None and base_name(name) not in consumed for name, maker in zip(place_of, producers, strict=True)]
    return Links(
        nodes=tuple(nodes),
        inputs=tuple([tuple([place_of[name] for name in node.inputs]) for node in nodes]),
        outputs=tuple([tuple([place_of[name] for name in node.outputs]) for node in nodes]),
        parents=tuple(parents),
        children=tuple(map(tuple, children)),
        names=tuple(place_of),
        producers=tuple(producers),
        consumers=tuple(map(tuple, consumers)),
        results=tuple(results),
        made=frozenset(maker_of),
    )
