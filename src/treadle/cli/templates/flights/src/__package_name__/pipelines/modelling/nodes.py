"""Train models that predict late flights, and evaluate them on later days."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline as Estimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

logger = logging.getLogger(__name__)

SCORES = ("roc_auc", "average_precision", "brier", "log_loss")


def train_model(train_set: pd.DataFrame, model: dict[str, Any], threads: int) -> Estimator:
    """Fit a model to the flights of one airport.

    Args:
        train_set: features and `late`.
        model: `label`, `estimator` (full path of a scikit-learn class) and its `options`.
        threads: maximum number of threads of numerical libraries.

    Returns:
        The fitted model, a pipeline that imputes missing values and scales the features first.
    """
    module, _, name = model["estimator"].rpartition(".")
    estimator = getattr(import_module(module), name)(**model["options"])
    fitted = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), estimator)
    with threadpool_limits(limits=threads):
        fitted.fit(train_set.drop(columns="late"), train_set["late"])
    logger.info("Fitted %s to %s flights", model["label"], f"{len(train_set):,}")
    return fitted


def evaluate_model(
    fitted: Estimator, test_set: pd.DataFrame, model: dict[str, Any], airport: dict[str, str], threads: int
) -> dict[str, Any]:
    """Evaluate a model on the test set.

    Args:
        fitted: the model.
        test_set: features and `late`.
        model: the `label` of the model.
        airport: `code` and `name` of the airport.
        threads: maximum number of threads of numerical libraries.

    Returns:
        Its scores, and its calibration: predicted probabilities and observed shares.
    """
    late = test_set["late"].to_numpy()
    with threadpool_limits(limits=threads):
        probability = fitted.predict_proba(test_set.drop(columns="late"))[:, 1]
    metrics = {
        "airport": airport["code"],
        "model": model["label"],
        "flights": len(late),
        "late_share": float(late.mean()),
        "roc_auc": float(roc_auc_score(late, probability)),
        "average_precision": float(average_precision_score(late, probability)),
        "brier": float(brier_score_loss(late, probability)),
        "log_loss": float(log_loss(late, probability)),
        "calibration": calibration(late, probability),
    }
    logger.info("%s, %s: ROC AUC %.3f", airport["name"], model["label"], metrics["roc_auc"])
    return metrics


def calibration(late: np.ndarray, probability: np.ndarray, groups: int = 10) -> dict[str, list[float]]:
    """Compare predicted probabilities with observed shares, in groups of equal size.

    Args:
        late: 1 for a late flight, else 0.
        probability: the predictions of the model.
        groups: the number of groups.

    Returns:
        For each group, from the lowest to the highest prediction, the mean prediction and the observed share of late flights.
    """
    parts = np.array_split(np.argsort(probability, kind="stable"), groups)
    return {
        "predicted": [float(probability[part].mean()) for part in parts],
        "observed": [float(late[part].mean()) for part in parts],
    }


def compare_models(*metrics: dict[str, Any]) -> dict[str, Any]:
    """Find the best model for each airport, and the best overall.

    Args:
        *metrics: the metrics of each model at each airport.

    Returns:
        `best_model` with its mean ROC AUC over the airports; `airports` with the best model and all scores of each airport.
    """
    airports: dict[str, Any] = {}
    scores: dict[str, list[float]] = {}
    for entry in sorted(metrics, key=lambda entry: (entry["airport"], entry["model"])):
        airport = airports.setdefault(
            entry["airport"], {"flights": entry["flights"], "late_share": entry["late_share"], "models": {}}
        )
        airport["models"][entry["model"]] = {name: entry[name] for name in (*SCORES, "calibration")}
        scores.setdefault(entry["model"], []).append(entry["roc_auc"])
    for airport in airports.values():
        airport["best"] = max(airport["models"], key=lambda name: airport["models"][name]["roc_auc"])
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    best = max(means, key=lambda name: means[name])
    logger.info("Best over all: %s, mean ROC AUC %.3f", best, means[best])
    return {"best_model": {"model": best, "mean_roc_auc": means[best]}, "mean_roc_auc": means, "airports": airports}
