"""Raw orders in, clean orders out."""

from treadle import Pipeline, node

from __package_name__.pipelines.cleaning.nodes import clean_orders


def create_pipeline() -> Pipeline:
    """Wire the cleaning.

    Returns:
        The pipeline, whose free output is `orders`.
    """
    return Pipeline([node(clean_orders, ["raw_orders", "params:cleaning"], "orders", name="clean_orders")])
