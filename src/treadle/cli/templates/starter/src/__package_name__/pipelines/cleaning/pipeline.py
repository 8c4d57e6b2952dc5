"""The pipeline that converts raw orders to clean orders."""

from treadle import Pipeline, node

from __package_name__.pipelines.cleaning.nodes import clean_orders


def create_pipeline() -> Pipeline:
    """Create the pipeline.

    Returns:
        The pipeline, whose free output is `orders`.
    """
    return Pipeline([node(clean_orders, ["raw_orders", "params:cleaning"], "orders", name="clean_orders")])
