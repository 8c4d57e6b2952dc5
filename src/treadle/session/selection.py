"""Select the nodes of a run by pipeline name, filters and missing outputs.

State: none. Neighbours: `request.py` defines the request, `missing.py` finds the nodes of missing outputs, `running.py` calls.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.session.request import RunRequest

DEFAULT_PIPELINE = "__default__"
"""The pipeline that runs if none is named."""


def select_pipeline(pipelines: Mapping[str, Pipeline], request: RunRequest) -> Pipeline:
    """Join the named pipelines and filter their nodes.

    Args:
        pipelines: the registered pipelines; only the named ones are looked up, so no other is imported.
        request: the arguments of the run.

    Returns:
        The nodes that pass every filter.

    Raises:
        UnknownNameError: a pipeline, node, tag, namespace or dataset is unknown.
        PipelineError: no node passes.
    """
    named = [pipelines[name] for name in request.pipeline_names or (DEFAULT_PIPELINE,)]
    return functools.reduce(operator.add, named).filter(
        tags=request.tags,
        from_nodes=request.from_nodes,
        to_nodes=request.to_nodes,
        node_names=request.node_names,
        from_inputs=request.from_inputs,
        to_outputs=request.to_outputs,
        namespaces=request.namespaces,
    )


def keep_missing(pipeline: Pipeline, catalog: Catalog) -> Pipeline:
    """Keep the nodes that are needed for persistent outputs that do not exist.

    Args:
        pipeline: the nodes to choose from.
        catalog: determines which datasets persist and which exist.

    Returns:
        A pipeline of those nodes; empty if no output is missing.
    """
    from treadle.session.missing import missing_nodes

    def persists(name: str) -> bool:
        return name in catalog and not catalog.capabilities(name).in_memory

    names = set(missing_nodes(pipeline, persists=persists, exists=catalog.exists))
    return type(pipeline)(node for node in pipeline.nodes if node.name in names)
