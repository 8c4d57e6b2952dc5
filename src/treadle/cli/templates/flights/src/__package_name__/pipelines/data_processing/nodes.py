"""Clean the raw tables: types, units, gaps."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)


def clean_flights(raw_flights: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Select the flights that left, with compact types, sorted by scheduled departure.

    Args:
        raw_flights: the published flights of 2013; a time of day such as 517 means 5:17.
        settings: `late_after_minutes`.

    Returns:
        One row per flight: its hour in UTC, day, route, plane, departure delay in minutes, and whether it counts as late.
    """
    flights = raw_flights.dropna(subset=["dep_delay"])
    clock = flights["sched_dep_time"]
    clean = pd.DataFrame(
        {
            "time_hour": pd.to_datetime(flights["time_hour"], utc=True),
            "day": pd.to_datetime({"year": 2013, "month": flights["month"], "day": flights["day"]}),
            "month": flights["month"].astype("int8"),
            "hour": (clock // 100).astype("int8"),
            "minute_of_day": (clock // 100 * 60 + clock % 100).astype("int16"),
            "origin": flights["origin"].astype("category"),
            "dest": flights["dest"].astype("category"),
            "carrier": flights["carrier"].astype("category"),
            "tailnum": flights["tailnum"].astype("category"),
            "distance": flights["distance"].astype("float32"),
            "dep_delay": flights["dep_delay"].astype("float32"),
            "late": flights["dep_delay"] >= settings["late_after_minutes"],
        }
    )
    logger.info("Kept %s of %s flights; the others never left", f"{len(clean):,}", f"{len(raw_flights):,}")
    return clean.sort_values(["day", "minute_of_day"], kind="stable", ignore_index=True)


def clean_weather(raw_weather: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Create a complete hourly record for each airport, in metric units.

    Args:
        raw_weather: the published hourly readings, in degrees Fahrenheit, miles and inches.
        settings: `longest_weather_gap_hours`.

    Returns:
        One row per airport and hour (UTC): temperature (°C), humidity (%), wind and gusts (km/h), rain (mm) in this hour
        and in the last three, visibility (km), and the change of pressure over three hours (hPa).
    """
    direction = np.deg2rad(raw_weather["wind_dir"])
    metric = pd.DataFrame(
        {
            "origin": raw_weather["origin"],
            "time_hour": pd.to_datetime(raw_weather["time_hour"], utc=True),
            "temperature": (raw_weather["temp"] - 32) / 1.8,
            "humidity": raw_weather["humid"],
            "wind_speed": raw_weather["wind_speed"] * 1.609,
            "wind_gust": raw_weather["wind_gust"].fillna(raw_weather["wind_speed"]) * 1.609,
            "wind_north": np.cos(direction) * raw_weather["wind_speed"] * 1.609,
            "wind_east": np.sin(direction) * raw_weather["wind_speed"] * 1.609,
            "rain": raw_weather["precip"] * 25.4,
            "visibility": raw_weather["visib"] * 1.609,
            "pressure": raw_weather["pressure"],
        }
    )
    stations = [_fill_gaps(station, settings["longest_weather_gap_hours"]) for _, station in metric.groupby("origin", sort=True)]
    return pd.concat(stations, ignore_index=True)


def clean_planes(raw_planes: pd.DataFrame) -> pd.DataFrame:
    """Select the age in 2013 and the seats of each plane.

    Args:
        raw_planes: the published register of planes.

    Returns:
        One row per tail number; an implausible age is empty.
    """
    age = 2013 - raw_planes["year"]
    planes = pd.DataFrame(
        {
            "tailnum": raw_planes["tailnum"],
            "plane_age": age.where(age.between(0, 60)).astype("float32"),
            "plane_seats": raw_planes["seats"].astype("float32"),
        }
    )
    logger.info("Know %s planes, %s of them without a year", f"{len(planes):,}", int(planes["plane_age"].isna().sum()))
    return planes.drop_duplicates("tailnum", ignore_index=True)


def _fill_gaps(station: pd.DataFrame, longest_gap: int) -> pd.DataFrame:
    hourly = station.drop_duplicates("time_hour").set_index("time_hour").drop(columns="origin").asfreq("h")
    hourly = hourly.interpolate(limit=longest_gap)
    hourly["rain_3h"] = hourly["rain"].rolling(3, min_periods=1).sum()
    hourly["pressure_change_3h"] = hourly["pressure"].diff(3)
    hourly = hourly.drop(columns="pressure").astype("float32").reset_index()
    hourly.insert(0, "origin", station["origin"].iloc[0])
    return hourly
