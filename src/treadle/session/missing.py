"""Find the nodes that produce missing outputs (`--only-missing-outputs`).

A node is needed if one of its persistent outputs does not exist, or if a needed node loads one of its outputs that is not
available. Existing data is used whatever its age. State: none. Neighbours: `selection.py` supplies the answers of the catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from treadle.pipeline import Node, Pipeline


def missing_nodes(pipeline: Pipeline, *, persists: Callable[[str], bool], exists: Callable[[str], bool]) -> tuple[str, ...]:
    """Find the nodes to run so that every persistent output of a pipeline exists, in linear time.

    Args:
        pipeline: the nodes to choose from.
        persists: returns whether a dataset outlives the run.
        exists: returns whether a persistent dataset exists; called once per persistent output.

    Returns:
        Names of the nodes, in the pipeline's order; empty if no output is missing.
    """
    producers: dict[str, Node] = {}
    available: set[str] = set()
    needed: dict[str, Node] = {}
    for node in pipeline.nodes:
        for output in node.outputs:
            producers[base_name(output)] = node
            if persists(output):
                if exists(output):
                    available.add(base_name(output))
                else:
                    needed[node.name] = node
    frontier = list(needed.values())
    while frontier:
        for name in frontier.pop().inputs:
            producer = producers.get(base_name(name))
            if producer is not None and base_name(name) not in available and producer.name not in needed:
                needed[producer.name] = producer
                frontier.append(producer)
    return tuple(node.name for node in pipeline.nodes if node.name in needed)
