"""How the pipeline `__pipeline_name__` is wired."""

from treadle import Pipeline


def create_pipeline() -> Pipeline:
    """Wire the pipeline: each node is `node(function, inputs, outputs, name=...)`.

    Returns:
        The pipeline.
    """
    return Pipeline([])
