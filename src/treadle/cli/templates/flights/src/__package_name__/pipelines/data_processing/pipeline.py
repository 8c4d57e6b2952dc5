"""The pipeline that cleans the raw tables."""

from treadle import Pipeline, node

from __package_name__.pipelines.data_processing.nodes import clean_flights, clean_planes, clean_weather


def create_pipeline() -> Pipeline:
    """Create the pipeline that cleans flights, weather and planes.

    Returns:
        The pipeline, whose free outputs are `flights`, `weather` and `planes`.
    """
    return Pipeline(
        [
            node(clean_flights, ["raw_flights", "params:cleaning"], "flights", name="clean_flights"),
            node(clean_weather, ["raw_weather", "params:cleaning"], "weather", name="clean_weather"),
            node(clean_planes, "raw_planes", "planes", name="clean_planes"),
        ],
        tags="processing",
    )
