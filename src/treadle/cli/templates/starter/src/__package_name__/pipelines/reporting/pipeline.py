"""The pipeline that converts clean orders to a report. Its two sums are independent, so they can run at the same time."""

from treadle import Pipeline, node

from __package_name__.pipelines.reporting.nodes import sum_by_hour, sum_by_product, write_report


def create_pipeline() -> Pipeline:
    """Create the pipeline.

    Returns:
        The pipeline, whose free output is `report`.
    """
    return Pipeline(
        [
            node(sum_by_product, "orders", "by_product", name="sum_by_product"),
            node(sum_by_hour, "orders", "by_hour", name="sum_by_hour"),
            node(write_report, ["by_product", "by_hour", "params:report.best"], "report", name="write_report"),
        ]
    )
