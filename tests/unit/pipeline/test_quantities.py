"""Durations and amounts, as numbers and as texts with a unit."""

from __future__ import annotations

import math

import pytest

from treadle.pipeline.quantities import read_amount, read_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(30, 30.0), (0.5, 0.5), ("30", 30.0), ("30s", 30.0), ("700ms", 0.7), ("5m", 300.0), ("5 min", 300.0), ("1.5h", 5400.0)],
)
def test_durations(value, seconds):
    """Numbers are seconds, and texts have units."""
    assert read_duration(value) == seconds


@pytest.mark.parametrize("value", [-1, "", "s", "5 weeks", "five", True, None, math.inf, math.nan, [5], "1h30m"])
def test_what_is_no_duration(value):
    """Anything else is an error that says what would be right."""
    with pytest.raises(ValueError, match='give seconds, as a number or a text like "30s"'):
        read_duration(value)


@pytest.mark.parametrize(
    ("value", "amount"),
    [(2, 2), (2.0, 2), ("2", 2), ("4GB", 4 * 10**9), ("512MiB", 2**29), ("1.5 kB", 1500), (0, 0), ("100 B", 100)],
)
def test_amounts(value, amount):
    """Numbers count, and texts have units of bytes."""
    assert read_amount(value) == amount


@pytest.mark.parametrize("value", [-1, 0.5, "0.5", "4G", "4gb", "many", True, None, math.inf])
def test_what_is_no_amount(value):
    """Anything else is an error that says what would be right."""
    with pytest.raises(ValueError, match="give a whole number, or bytes as a text"):
        read_amount(value)
