"""Check transcoded datasets (`table@pandas`, `table@spark`) before a run starts. State: none. Neighbours: runners call this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import DatasetError
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from treadle.planning.plan import Plan


def check_transcoding(plan: Plan) -> None:
    """Raise if a dataset is saved under one name and loaded under another, but is only kept in memory.

    Args:
        plan: the nodes and their datasets.

    Raises:
        DatasetError: a transcoded dataset is in memory; names it, the node that loads it and the node that saves it.
    """
    transcoded = [dataset for dataset in plan.datasets if "@" in dataset.name]
    made = {base_name(dataset.name): dataset for dataset in transcoded if dataset.producer is not None}
    for dataset in transcoded:
        source = made.get(base_name(dataset.name))
        if source is None or source.producer is None or dataset.producer is not None:
            continue
        in_memory = next((each.name for each in (source, dataset) if each.in_memory), None)
        if in_memory is not None:
            consumer = plan.nodes[dataset.consumers[0]].name
            msg = (
                f"Node '{consumer}' loads '{dataset.name}', which node '{plan.nodes[source.producer].name}' saves as "
                f"'{source.name}', but '{in_memory}' is kept in memory, so it cannot be loaded as another type. Declare "
                "both names in the catalog, with the same path."
            )
            raise DatasetError(msg, dataset=dataset.name, node=consumer)
