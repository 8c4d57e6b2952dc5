"""The nodes of the pipeline `__pipeline_name__`."""

from treadle import Pipeline


def create_pipeline() -> Pipeline:
    """Create the pipeline; each node is `node(function, inputs, outputs, name=...)`.

    Returns:
        The pipeline.
    """
    return Pipeline([])
