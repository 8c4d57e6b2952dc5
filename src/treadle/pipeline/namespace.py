"""Modular pipelines: reuse nodes with other datasets, in a namespace. State: none.

Neighbour: `renaming.py` computes the new names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.pipeline.node import Node
    from treadle.pipeline.pipeline_class import Pipeline
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
    """Create a pipeline from nodes, or a copy of one with other datasets and a namespace.

    A namespace becomes the prefix of nodes, datasets and `params:` entries. Exceptions: datasets and parameters that are listed
    here keep their names or get the mapped ones, and `parameters` as a whole keeps its name.

    Example: `pipeline(train, inputs="table", outputs={"model": "north_model"}, namespace="north")`.

    Args:
        pipe: a pipeline, or nodes and pipelines.
        inputs: free inputs that are shared with other pipelines: a name, several names, or a dict of old name to new name.
        outputs: likewise, for outputs of the nodes.
        parameters: likewise, for parameters, with or without `params:`.
        tags: one or more tags for all nodes.
        namespace: the prefix.
        prefix_datasets_with_namespace: False applies the prefix to the names of nodes only.

    Returns:
        A new pipeline.

    Raises:
        UnknownNameError: the pipeline does not have a mapped name; the error lists similar names.
        PipelineError: a mapping is invalid, or makes the pipeline invalid.
    """
    from treadle.pipeline.pipeline_class import Pipeline
    from treadle.pipeline.renaming import renamed_nodes

    whole = pipe if isinstance(pipe, Pipeline) else Pipeline(pipe)

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
