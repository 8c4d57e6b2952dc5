"""Versions of driver and worker are compared by what pickles depend on."""

from __future__ import annotations

import pytest

from treadle.execution.executors.dask.versions import differences, table, versions

HERE = {"python": "3.11.7", "treadle": "1.0", "cloudpickle": "3.1.0", "numpy": "2.1.0", "pandas": "-", "dask": "2026.1"}


@pytest.mark.parametrize(
    ("there", "breaking", "differ"),
    [
        ({}, (), ()),
        ({"python": "3.11.2"}, (), ("python",)),
        ({"python": "3.12.7"}, ("python",), ("python",)),
        ({"treadle": "1.1"}, ("treadle",), ("treadle",)),
        ({"numpy": "1.26.0", "dask": "2025.1"}, ("numpy",), ("numpy", "dask")),
        ({"numpy": "2.3.0"}, (), ("numpy",)),
        ({"numpy": "-"}, (), ("numpy",)),
    ],
)
def test_what_breaks(there, breaking, differ):
    """Minor versions of Python, versions of Treadle and major versions of libraries break pickles; others are reported."""
    assert differences(HERE, {**HERE, **there}) == (breaking, differ)


def test_the_table_has_a_row_for_each_difference():
    """Both versions stand side by side."""
    lines = table(HERE, {**HERE, "python": "3.12.7"}, ("python",)).splitlines()
    assert [line.split() for line in lines] == [["here", "worker"], ["python", "3.11.7", "3.12.7"]]


def test_versions_of_this_process():
    """Python and Treadle are among them."""
    assert versions().keys() >= {"python", "treadle", "numpy"}
