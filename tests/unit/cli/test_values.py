"""The values that flags take."""

from __future__ import annotations

import click
import pytest

from treadle.cli.values import join_names, join_params, load_versions, names, params
from treadle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a",)),
        ("a,b , c", ("a", "b", "c")),
        ([], ()),
        (",a,,", ("a",)),
        ("fit([table,model]) -> [score,loss],plot", ("fit([table,model]) -> [score,loss]", "plot")),
        ("odd),b", ("odd)", "b")),
        (["a", "b,c"], ("a", "b,c")),
    ],
)
def test_names(text, expected):
    """Names stand between commas; a comma within brackets belongs to the name of an unnamed node."""
    assert names(text) == expected


def test_params():
    """Params are typed and nested; a mapping, from a flags file, stays as it is."""
    assert params("model.depth=5,city=Paris,on=true") == {"model": {"depth": 5}, "city": "Paris", "on": True}
    assert params({"model": {"depth": 5}}) == {"model": {"depth": 5}}
    with pytest.raises(ConfigError):
        params("depth")


def test_load_versions():
    """A version belongs to the dataset before the colon; versions may have colons of their own."""
    assert load_versions("model:2026-01-31T12:00,table:v2") == {"model": "2026-01-31T12:00", "table": "v2"}
    assert load_versions({"model": "3"}) == {"model": "3"}
    assert load_versions(["model:1", "table:2"]) == {"model": "1", "table": "2"}


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (load_versions, "model"),
        (load_versions, ":1"),
        (names, 5),
        (params, 5),
        (load_versions, {"m": 5}),
        (names, [5]),
        (names, " , "),
    ],
)
def test_values_of_another_form_are_refused(read, value):
    """A value that is not of the flag's form is wrong usage, and the message shows it."""
    with pytest.raises(click.BadParameter, match=value if isinstance(value, str) else "5"):
        read(value)


def test_flags_given_several_times_add_up():
    """Names are joined in order and params are merged deeply, the later over the earlier; nothing given is None."""
    assert join_names([("a", "b"), ("c",)]) == ["a", "b", "c"]
    assert join_names([]) is None
    assert join_params([{"model": {"depth": 5, "rate": 1}}, {"model": {"depth": 6}}]) == {"model": {"depth": 6, "rate": 1}}
    assert join_params([]) is None
