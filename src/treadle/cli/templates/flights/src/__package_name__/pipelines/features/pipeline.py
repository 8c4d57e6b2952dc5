"""The pipeline that computes the features of each airport, and splits them into training and test sets."""

from treadle import Pipeline, node, pipeline

from __package_name__.pipelines.features.nodes import build_features, split_by_day

AIRPORTS = ("ewr", "jfk", "lga")


def create_pipeline() -> Pipeline:
    """Create the same nodes for each airport, in a namespace of its own.

    Returns:
        The pipeline, with `ewr.features`, `ewr.train_set`, `ewr.test_set` and so on.
    """
    return Pipeline([_for_airport(airport) for airport in AIRPORTS], tags="features")


def _for_airport(airport: str) -> Pipeline:
    nodes = Pipeline(
        [
            node(
                build_features,
                ["flights", "weather", "planes", "params:airport", "params:features"],
                "features",
                name="build_features",
            ),
            node(split_by_day, ["features", "params:split"], ["train_set", "test_set"], name="split_by_day"),
        ]
    )
    return pipeline(
        nodes,
        namespace=airport,
        inputs={"flights", "weather", "planes"},
        parameters={
            "params:airport": f"params:airports.{airport}",
            "params:features": "params:features",
            "params:split": "params:split",
        },
    )
