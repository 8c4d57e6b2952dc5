"""What the nodes do."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd


def nothing(value):
    """Do nothing."""
    return value


def busy(value):
    """Compute for 50 ms of this process's own time."""
    end = time.process_time() + 0.05
    while time.process_time() < end:
        value = (value * 31 + 7) % 1000003
    return 50


def make_array(value):
    """Make 64 MB."""
    return np.full(8_000_000, float(value))


def step(array):
    """Take 64 MB, make 64 MB."""
    return array + 1.0


def total(array):
    """Take 64 MB, make a number."""
    return float(array.sum())


def clean(table):
    """Choose rows, parse dates, change words."""
    table = table[table["amount"] > 10].copy()
    table["day"] = pd.to_datetime(table["day"])
    table["word"] = table["word"].str.upper()
    return table


def aggregate(table):
    """Add up."""
    return table.groupby(["key", "word"], as_index=False).agg(amount=("amount", "sum"), days=("day", "nunique"))


def join(*tables):
    """Put tables side by side."""
    joined = tables[0]
    for number, table in enumerate(tables[1:]):
        joined = joined.merge(table, on=["key", "word"], how="outer", suffixes=("", f"_{number}"))
    return joined
