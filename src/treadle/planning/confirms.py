"""Which nodes confirm datasets, and where they must run to do so. No state. Neighbours: `plan` asks while it compiles."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from treadle.errors import UnknownDatasetError

if TYPE_CHECKING:
    from treadle.io import Catalog
    from treadle.pipeline import Node


def confirming_in_main(nodes: Sequence[Node], catalog: Catalog) -> frozenset[int]:
    """Find the nodes that confirm a dataset which may not leave the main process.

    Args:
        nodes: in plan order.
        catalog: says what the datasets can do.

    Returns:
        Positions of those nodes.

    Raises:
        UnknownDatasetError: a node confirms a dataset that the catalog does not have and no node takes or makes.
    """
    confirming = [(position, node) for position, node in enumerate(nodes) if node.confirms]
    if not confirming:
        return frozenset()
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    found = set()
    for position, node in confirming:
        for name in node.confirms:
            if name in catalog:
                if catalog.capabilities(name).main_process_only:
                    found.add(position)
            elif name not in used:
                close = tuple(get_close_matches(name, [*used, *catalog], n=3))
                hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
                msg = (
                    f"Node '{node.name}' confirms '{name}', which the catalog does not have.{hint} Declare it there, or take "
                    "it out of the node's `confirms`."
                )
                raise UnknownDatasetError(msg, dataset=name, node=node.name, close=close)
    return frozenset(found)
