"""Nodes are plain functions: tests call them with small tables."""

import pandas as pd

from __package_name__.pipelines.delays.nodes import summarise_month

SETTINGS = {"quantile": 0.9, "resamples": 50, "confidence": 0.95, "random_state": 1}


def test_a_month_is_summed_up_by_airport_and_hour():
    """Flights of other months do not count, and the interval contains the quantile of the delay."""
    flights = pd.DataFrame(
        {
            "month": [1] * 20 + [2],
            "hour": [6] * 10 + [7] * 10 + [6],
            "origin": ["EWR"] * 21,
            "dep_delay": [*range(20), 500],
            "late": [delay >= 15 for delay in range(20)] + [True],
        }
    )

    hourly, monthly = summarise_month(flights, SETTINGS, month=1)

    assert hourly["flights"].tolist() == [10, 10]
    assert hourly["late_share"].tolist() == [0.0, 0.5]
    assert monthly["low"].item() <= monthly["delay"].item() <= monthly["high"].item() <= 19
