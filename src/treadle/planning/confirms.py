"""Find nodes that must confirm a dataset in the main process. State: none. Neighbours: `plan` calls this while compiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from treadle.errors import UnknownDatasetError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.io import Catalog
    from treadle.pipeline import Node


def confirming_in_main(nodes: Sequence[Node], catalog: Catalog) -> frozenset[int]:
    """Find the nodes that confirm a dataset restricted to the main process.

    Args:
        nodes: the nodes, in plan order.
        catalog: provides the capabilities of the datasets.

    Returns:
        The indices of those nodes.

    Raises:
        UnknownDatasetError: a node confirms a dataset that is not in the catalog and that no node loads or saves.
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
                close = close_names(name, [*used, *catalog])
                msg = (
                    f"Node '{node.name}' confirms '{name}', which is not in the catalog.{did_you_mean(close)} Declare it there, "
                    "or remove it from the node's `confirms`."
                )
                raise UnknownDatasetError(msg, dataset=name, node=node.name, close=close)
    return frozenset(found)
