"""Modular pipelines: the same nodes again, on other datasets, under a name of their own. State: none.

Neighbour: `renaming.py` gives the new names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.pipeline.node import Node
    from treadle.pipeline.renaming import Names


def pipeline(
    pipe: Iterable[Node | Pipeline] | Pipeline,
    *,
    inputs: Names = None,
    outputs: Names = None,
    parameters: Names = None,
    tags: str | Iterable[str] | None = None,
    namespace: str | None = None,
    prefix_datasets_with_namespace: bool = True,
) -> Pipeline:
    """Make a pipeline of nodes, or a copy of one on other datasets and under a namespace.

    Under a namespace, nodes, datasets and `params:` entries get it as prefix, except for the datasets and parameters
    that are named here (they keep their names, or get those they are mapped to) and for `parameters` as a whole.

    Example: `pipeline(train, inputs="table", outputs={"model": "north_model"}, namespace="north")`.

    Args:
        pipe: a pipeline, or nodes and pipelines.
        inputs: free inputs that are shared with the world outside: a name, some, or a dict of old name to new.
        outputs: the same for datasets that the nodes make.
        parameters: the same for parameters, with or without `params:`.
        tags: one tag or some, for all the nodes.
        namespace: the prefix.
        prefix_datasets_with_namespace: False puts the namespace before the names of the nodes alone.

    Returns:
        A new pipeline.

    Raises:
        UnknownNameError: a mapped name that the pipeline does not have, with close matches.
        PipelineError: a mapping that cannot be, or a pipeline that is invalid after it.
    """
    whole = pipe if isinstance(pipe, Pipeline) else Pipeline(pipe)
    from treadle.pipeline.renaming import renamed_nodes

    nodes = renamed_nodes(
        whole,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        tags=tags,
        namespace=namespace,
        prefix_datasets_with_namespace=prefix_datasets_with_namespace,
    )
    return whole if nodes is None else Pipeline(nodes)
