"""How late flights leave: by month, by hour, by route."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)


def summarise_month(flights: pd.DataFrame, settings: dict[str, Any], month: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarise the delays of one month at each airport.

    Args:
        flights: all clean flights.
        settings: `quantile`, `resamples`, `confidence`, `late_after_minutes` and `random_state`.
        month: 1 to 12.

    Returns:
        The number of flights and the share of late ones by airport and hour; and by airport the quantile of the delay in minutes,
        with a bootstrap interval.
    """
    of_month = flights[flights["month"] == month]
    by_hour = of_month.groupby(["origin", "hour"], observed=True)["late"]
    hourly = by_hour.agg(flights="count", late_share="mean").reset_index()
    hourly["origin"] = hourly["origin"].astype("object")
    hourly.insert(1, "month", month)
    random = np.random.default_rng([settings["random_state"], month])
    rows = []
    for origin, delays in of_month.groupby("origin", observed=True)["dep_delay"]:
        low, high = bootstrap_interval(delays.to_numpy(), settings, random)
        value = float(delays.quantile(settings["quantile"]))
        rows.append({"origin": str(origin), "month": month, "flights": len(delays), "delay": value, "low": low, "high": high})
    logger.info("Month %d: %s flights", month, f"{len(of_month):,}")
    return hourly, pd.DataFrame(rows)


def bootstrap_interval(delays: np.ndarray, settings: dict[str, Any], random: np.random.Generator) -> tuple[float, float]:
    """Estimate a confidence interval for a quantile of delays by the bootstrap.

    Args:
        delays: one per flight, in minutes.
        settings: `quantile`, `resamples` and `confidence`.
        random: the random number generator.

    Returns:
        The lower and upper bound of the quantile, in minutes.
    """
    quantiles = np.empty(settings["resamples"])
    for i in range(settings["resamples"]):
        quantiles[i] = np.quantile(random.choice(delays, size=len(delays)), settings["quantile"])
    tail = (1 - settings["confidence"]) / 2
    low, high = np.quantile(quantiles, [tail, 1 - tail])
    return float(low), float(high)


def stack_months(*months: pd.DataFrame) -> pd.DataFrame:
    """Concatenate the tables of the months.

    Args:
        *months: one table per month.

    Returns:
        One table, sorted by airport and month.
    """
    return pd.concat(months, ignore_index=True).sort_values(["origin", "month"], kind="stable", ignore_index=True)


def rank_routes(flights: pd.DataFrame, airports: pd.DataFrame, airlines: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """List the routes whose flights leave late most often.

    Args:
        flights: all clean flights.
        airports: names of airports by their code (`faa`).
        airlines: names of airlines by their code (`carrier`).
        settings: `fewest_flights` for a route to count, and `rows` to list.

    Returns:
        One row per route and airline, the highest share of late flights first.
    """
    routes: pd.DataFrame = flights.groupby(["origin", "dest", "carrier"], observed=True).agg(
        flights=("late", "count"), late_share=("late", "mean"), mean_delay=("dep_delay", "mean")
    )
    routes = routes[routes["flights"] >= settings["fewest_flights"]].nlargest(settings["rows"], "late_share").reset_index()
    routes["destination"] = routes["dest"].map(airports.set_index("faa")["name"].to_dict()).astype("object").fillna("")
    routes["airline"] = routes["carrier"].map(airlines.set_index("carrier")["name"].to_dict())
    routes["late_share"] = routes["late_share"].round(3)
    routes["mean_delay"] = routes["mean_delay"].astype("float64").round(1)
    return routes.filter(["origin", "dest", "destination", "airline", "flights", "late_share", "mean_delay"])
