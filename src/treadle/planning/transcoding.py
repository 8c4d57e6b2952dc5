"""Transcoded datasets (`table@pandas`, `table@spark`), checked before anything runs. No state. Neighbours: a runner asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import DatasetError
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from treadle.planning.plan import Plan


def check_transcoding(plan: Plan) -> None:
    """Refuse a dataset that is made under one name and taken under another where no place holds it in between.

    Args:
        plan: the nodes and their datasets.

    Raises:
        DatasetError: names the dataset, the node that takes it and the one that makes it.
    """
    transcoded = [dataset for dataset in plan.datasets if "@" in dataset.name]
    made = {base_name(dataset.name): dataset for dataset in transcoded if dataset.producer is not None}
    for dataset in transcoded:
        source = made.get(base_name(dataset.name))
        if source is None or source.producer is None or dataset.producer is not None:
            continue
        homeless = next((each.name for each in (source, dataset) if each.in_memory), None)
        if homeless is not None:
            taker = plan.nodes[dataset.consumers[0]].name
            msg = (
                f"Node '{taker}' takes '{dataset.name}', which node '{plan.nodes[source.producer].name}' makes as "
                f"'{source.name}', but '{homeless}' lives in memory, so that nothing can be read back as another type. Declare "
                "both names in the catalog, with the same path."
            )
            raise DatasetError(msg, dataset=dataset.name, node=taker)
