"""Compute features for the flights of one airport, only from information that is known before a flight leaves."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

logger = logging.getLogger(__name__)


def build_features(
    flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame, airport: dict[str, str], settings: dict[str, Any]
) -> pd.DataFrame:
    """Join an airport's flights with weather and planes, and add recent delays.

    Args:
        flights: all clean flights.
        weather: hourly weather of all airports.
        planes: age and seats by tail number.
        airport: `code` and `name` of the airport.
        settings: `trailing_days`, `prior_late_share` and `prior_flights`.

    Returns:
        One row per flight of this airport, sorted by scheduled departure.
    """
    table = flights[flights["origin"] == airport["code"]].reset_index(drop=True)
    for column in ("carrier", "dest", "tailnum"):
        table[column] = table[column].astype("object")
    table["weekday"] = table["day"].dt.day_of_week.astype("int8")
    table = _add_traffic(table)
    table = _add_plane_history(table)
    for key, name in (("carrier", "carrier_late_share"), ("dest", "dest_late_share"), ("hour", "hour_late_share")):
        table[name] = trailing_late_share(table, key, settings)
    yesterday = table.groupby("day")["late"].mean().shift(1)
    table["late_share_yesterday"] = table["day"].map(yesterday).astype("float32")
    local = weather[weather["origin"] == airport["code"]].drop(columns="origin")
    table = table.merge(local, on="time_hour", how="left").merge(planes, on="tailnum", how="left")
    logger.info("%s: %s flights, %.1f %% of them late", airport["name"], f"{len(table):,}", 100 * table["late"].mean())
    return table.drop(columns=["origin", "tailnum", "time_hour", "dep_delay"])


def trailing_late_share(flights: pd.DataFrame, key: str, settings: dict[str, Any]) -> pd.Series:
    """Compute how often flights of the same kind were late in the days before each flight.

    Args:
        flights: flights with `day`, `late` and the key.
        key: the column that defines the kind, such as `carrier`.
        settings: `trailing_days`, and the prior, which dominates if there were few flights.

    Returns:
        A share from 0 to 1 for each flight, computed without its own day.
    """
    daily = flights.groupby(["day", key], observed=True)["late"].agg(["sum", "count"]).unstack(key)
    daily = daily.reindex(pd.date_range(daily.index.min(), daily.index.max(), name="day"))
    past = daily.fillna(0).rolling(settings["trailing_days"], min_periods=1).sum().shift(1).fillna(0)
    weight = settings["prior_flights"]
    share = ((past["sum"] + weight * settings["prior_late_share"]) / (past["count"] + weight)).stack()
    of_flight = share.reindex(pd.MultiIndex.from_frame(flights[["day", key]])).to_numpy("float32")
    return pd.Series(of_flight, index=flights.index)


def split_by_day(features: pd.DataFrame, settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the flights into a training set and a test set.

    Args:
        features: one airport's features.
        settings: `train_until` (the last day of the training set) and `columns` (the features to use).

    Returns:
        Two tables with the chosen columns and `late`.
    """
    before = features["day"] <= pd.Timestamp(settings["train_until"])
    used = features[[*settings["columns"], "late"]].astype("float32")
    return used[before].reset_index(drop=True), used[~before].reset_index(drop=True)


def _add_traffic(table: pd.DataFrame) -> pd.DataFrame:
    per_hour = table.groupby("time_hour").size()
    next_hour = table["time_hour"] + pd.Timedelta(hours=1)
    table["scheduled_in_hour"] = table["time_hour"].map(per_hour).astype("float32")
    table["scheduled_next_hour"] = next_hour.map(per_hour).fillna(0).astype("float32")
    return table


def _add_plane_history(table: pd.DataFrame) -> pd.DataFrame:
    """Add the number of the plane's trip on that day, and the delay of its previous departure here, if less than a day ago."""
    known = table["tailnum"].notna()
    trips = table[known].groupby("tailnum", sort=False)
    elapsed = trips["time_hour"].diff()
    table["previous_delay"] = trips["dep_delay"].shift(1).where(elapsed <= pd.Timedelta(hours=24))
    table["previous_delay"] = table["previous_delay"].fillna(0).astype("float32")
    trip = table[known].groupby(["tailnum", "day"], sort=False).cumcount()
    table["plane_trip_of_day"] = trip.reindex(table.index).fillna(0).astype("float32")
    return table
