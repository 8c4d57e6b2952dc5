"""Which nodes make the outputs that are missing.

Pure: a pipeline and two questions go in, names of nodes come out. A node is needed if a dataset it makes persists and
does not exist, or if a needed node takes something from it that does not persist, and so is gone. What exists is taken as it is,
however old. No state. Neighbours: `session.py` asks the catalog on its behalf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from treadle.pipeline import Node, Pipeline


def missing_nodes(pipeline: Pipeline, *, persists: Callable[[str], bool], exists: Callable[[str], bool]) -> tuple[str, ...]:
    """Find the nodes to run so that every persistent output of a pipeline exists. Linear in nodes and datasets.

    Args:
        pipeline: the nodes to choose from.
        persists: says whether a dataset outlives the run.
        exists: says whether a dataset that persists is there; asked once for each that the pipeline makes.

    Returns:
        Names of the nodes, in the pipeline's order; empty where nothing is missing.
    """
    producers: dict[str, Node] = {}
    kept: set[str] = set()
    needed: dict[str, Node] = {}
    for node in pipeline.nodes:
        for output in node.outputs:
            producers[base_name(output)] = node
            if persists(output):
                if exists(output):
                    kept.add(base_name(output))
                else:
                    needed[node.name] = node
    frontier = list(needed.values())
    while frontier:
        for name in frontier.pop().inputs:
            producer = producers.get(base_name(name))
            if producer is not None and base_name(name) not in kept and producer.name not in needed:
                needed[producer.name] = producer
                frontier.append(producer)
    return tuple(node.name for node in pipeline.nodes if node.name in needed)
