"""Parameters as they are typed, and merging."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.config import merge_params, parse_params
from treadle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=5", {"a": 5}),
        ("model.a=5,model.b=x,c=1.5", {"model": {"a": 5, "b": "x"}, "c": 1.5}),
        (" a = 1 , b = two words ", {"a": 1, "b": "two words"}),
        ("a=1e-3,b=.5,c=-2,d=+3", {"a": 0.001, "b": 0.5, "c": -2, "d": 3}),
        ("a=true,b=False,c=null,d=None", {"a": True, "b": False, "c": None, "d": None}),
        ("zip=00501,day=2013-01-01,v=1.2.3,t=12:30", {"zip": "00501", "day": "2013-01-01", "v": "1.2.3", "t": "12:30"}),
        ("a=no,b=on", {"a": "no", "b": "on"}),
        ("a='5',b=\"x,y\"", {"a": "5", "b": "x,y"}),
        ("a=[1, 'x,y', {b: 2}],c={d: [e]}", {"a": [1, "x,y", {"b": 2}], "c": {"d": ["e"]}}),
        ("url=http://h/?q=1,path=C:\\x", {"url": "http://h/?q=1", "path": "C:\\x"}),
        ("a=it's,b=x[0],c=", {"a": "it's", "b": "x[0]", "c": ""}),
    ],
)
def test_params_are_nested_and_typed(text: str, expected: dict[str, Any]) -> None:
    """Dots nest; values become numbers, booleans, null, lists and mappings, or stay texts."""
    parsed = parse_params(text)
    assert parsed == expected
    assert repr(parsed) == repr(expected)


@pytest.mark.parametrize(
    "text", ["a", "a=1,b", "=1", "a..b=1", ".a=1", "a=1,a=2", "a=1,a.b=2", "a.b=1,a=2", "a=[1,2", "a='x", "a=[1 2: 3"]
)
def test_mistyped_params_are_errors(text: str) -> None:
    """A pair without '=', an empty name, a key given twice, and what does not close are errors that show it."""
    with pytest.raises(ConfigError, match="parameter"):
        parse_params(text)


def test_merge_is_deep_and_leaves_its_arguments() -> None:
    """Nested mappings merge, other values replace, and neither argument changes."""
    base = {"model": {"a": 1, "b": {"c": 2}}, "x": [1]}
    over = {"model": {"a": 5, "b": {"d": 3}}, "x": [2], "y": None}
    merged = merge_params(base, over)
    assert merged == {"model": {"a": 5, "b": {"c": 2, "d": 3}}, "x": [2], "y": None}
    merged["model"]["b"]["c"] = 9
    assert base == {"model": {"a": 1, "b": {"c": 2}}, "x": [1]}
    assert over == {"model": {"a": 5, "b": {"d": 3}}, "x": [2], "y": None}


def test_mapping_replaces_scalar_and_back() -> None:
    """Where only one side is a mapping, the upper side wins whole."""
    assert merge_params({"a": 1, "b": {"c": 1}}, {"a": {"x": 1}, "b": 2}) == {"a": {"x": 1}, "b": 2}
