"""The size of the values that may stay in the worker that made them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from treadle.execution.values.sizes import large_size

WORDS = [f"a longer word, number {number}" for number in range(5_000)]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (np.zeros(9), 72),
        (pd.Series(np.zeros(9)), 72),
        (pd.DataFrame({"a": np.zeros(9)}), 72),
        (pd.DataFrame({"a": pd.Series(["x"] * 5_000, dtype=object)}), 8 * 5_000),
        (pa.table({"a": np.zeros(9)}), 72),
        (pl.DataFrame({"a": np.zeros(9)}), 72),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), 0),
        (np.array([object()]), 0),
        ([1], 0),
    ],
)
def test_the_size_of_plain_values(value, size):
    """The size is that of the cells; 0 for values that may not pickle, or only with a copy."""
    assert large_size(value) == size


@pytest.mark.parametrize("dtype", [object, "string[python]"])
def test_strings_count_with_their_characters(dtype):
    """The estimate for a column of different strings is close to the size of all of them."""
    column = pd.Series(WORDS, dtype=dtype)
    expected = sum(map(sys.getsizeof, WORDS)) + 8 * len(WORDS)
    assert large_size(column) == pytest.approx(expected, rel=0.02)
    assert large_size(pd.DataFrame({"a": column, "b": np.zeros(len(WORDS))})) == pytest.approx(
        expected + 8 * len(WORDS), rel=0.02
    )
