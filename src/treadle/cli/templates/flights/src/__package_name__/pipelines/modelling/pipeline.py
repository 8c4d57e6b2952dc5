"""The pipeline that trains and evaluates the models."""

from treadle import Pipeline, node, pipeline

from __package_name__.pipelines.modelling.nodes import compare_models, evaluate_model, train_model

AIRPORTS = ("ewr", "jfk", "lga")
MODELS = ("logistic", "forest", "extra_trees", "boosting")


def create_pipeline() -> Pipeline:
    """Create the nodes of every model at every airport, and of their comparison.

    Returns:
        The pipeline, whose free output is `model_comparison`.
    """
    metrics = [f"{airport}.{model}_metrics" for airport in AIRPORTS for model in MODELS]
    compare = node(compare_models, metrics, "model_comparison", name="compare_models")
    return Pipeline([*(_for_airport(airport) for airport in AIRPORTS), compare], tags="modelling")


def _for_airport(airport: str) -> Pipeline:
    nodes = []
    for model in MODELS:
        settings, fitted = f"params:models.{model}", f"{model}_model"
        nodes += [
            node(train_model, ["train_set", settings, "params:threads"], fitted, name=f"train_{model}"),
            node(
                evaluate_model,
                [fitted, "test_set", settings, "params:airport", "params:threads"],
                f"{model}_metrics",
                name=f"evaluate_{model}",
            ),
        ]
    shared = {f"params:models.{model}": f"params:models.{model}" for model in MODELS}
    return pipeline(
        Pipeline(nodes),
        namespace=airport,
        parameters={**shared, "params:threads": "params:threads", "params:airport": f"params:airports.{airport}"},
    )
