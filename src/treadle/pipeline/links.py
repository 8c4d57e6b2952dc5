"""The nodes and datasets of a pipeline as integer indices: inputs and outputs of each node, and dependencies between nodes.

`link` computes them in one pass; a pipeline caches the result for its later runs. State: none. Neighbour: the planner combines
the links with a catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.collector import collection_paused
from treadle.parameter_names import is_parameter
from treadle.pipeline.names import TRANSCODING, base_name

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
        self.free_inputs = free_inputs
        self.confirmed = confirmed
        self.with_parameters = with_parameters


@collection_paused()
def link(nodes: Sequence[Node]) -> Links:
    """Number the datasets of nodes, and find their producers and consumers.

    A name is looked up once where it is used; everything else is found by its number. With 100,000 names, a lookup takes several
    times as long, because their table is larger than the processor's cache.

    Args:
        nodes: the nodes in topological order; each dataset has one producer.

    Returns:
        The links, computed in linear time.
    """
    index_of: dict[str, int] = {}
    inputs: list[tuple[int, ...]] = []
    outputs: list[tuple[int, ...]] = []
    for node in nodes:
        outputs.append(tuple([index_of.setdefault(name, len(index_of)) for name in node.outputs]))
        inputs.append(tuple([index_of.setdefault(name, len(index_of)) for name in node.inputs]))
    names = tuple(index_of)
    dataset_of = _datasets(names)
    consumers: list[list[int]] = [[] for _ in names]
    producers: list[int | None] = [None] * len(names)
    makers: list[int | None] = [None] * len(names)  # of datasets, in whichever format they are produced
    is_used = [False] * len(names)  # datasets, in any format
    children: list[list[int]] = [[] for _ in nodes]
    parents: list[tuple[int, ...]] = []
    for position, (made, used) in enumerate(zip(outputs, inputs, strict=True)):
        node_parents: dict[int, None] = {}
        for index in used:
            consumers[index].append(position)
            dataset = dataset_of[index]
            is_used[dataset] = True
            if (parent := makers[dataset]) is not None and parent not in node_parents:
                node_parents[parent] = None
                children[parent].append(position)
        for index in made:
            producers[index] = makers[dataset_of[index]] = position
        parents.append(tuple(node_parents))
    return Links(
        nodes=tuple(nodes),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        parents=tuple(parents),
        children=tuple(map(tuple, children)),
        names=names,
        producers=tuple(producers),
        consumers=tuple(map(tuple, consumers)),
        results=tuple([made is not None and not is_used[dataset] for made, dataset in zip(producers, dataset_of, strict=True)]),
        free_inputs=tuple([name for name, dataset in zip(names, dataset_of, strict=True) if makers[dataset] is None]),
        confirmed=tuple(dict.fromkeys([name for node in nodes for name in node.confirms])),
        with_parameters=tuple([node for node in nodes if any(map(is_parameter, node.inputs))]),
    )


def _datasets(names: Sequence[str]) -> Sequence[int]:
    """Return for each name the first of the names that are the same dataset in any format."""
    if TRANSCODING not in "".join(names):
        return range(len(names))
    first: dict[str, int] = {}
    return [first.setdefault(base_name(name), index) for index, name in enumerate(names)]
