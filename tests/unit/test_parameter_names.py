"""The names of parameters."""

from __future__ import annotations

import pytest

from treadle.parameter_names import is_parameter


@pytest.mark.parametrize(
    ("name", "expected"),
    [("parameters", True), ("params:a.b", True), ("params", False), ("parameters_of_a_model", False), ("my_params:a", False)],
)
def test_only_the_reserved_names_are_parameters(name, expected):
    """`parameters` as a whole, `params:` as a prefix."""
    assert is_parameter(name) is expected
