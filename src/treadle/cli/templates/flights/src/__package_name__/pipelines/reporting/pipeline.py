"""The pipeline that draws the figures."""

from treadle import Pipeline, node

from __package_name__.pipelines.reporting.nodes import plot_delay_map, plot_model_chart


def create_pipeline() -> Pipeline:
    """Create the pipeline with the two figures.

    Returns:
        The pipeline, whose free outputs are `delay_map` and `model_chart`.
    """
    return Pipeline(
        [
            node(
                plot_delay_map,
                ["hourly_delays", "monthly_delays", "params:airports", "params:delays"],
                "delay_map",
                name="plot_delay_map",
            ),
            node(plot_model_chart, ["model_comparison", "params:airports"], "model_chart", name="plot_model_chart"),
        ],
        tags="reporting",
    )
