"""Params as JSON and back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.config.writing import same_value
from treadle.observe.store.typed_json import decode, encode

KEYS = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.sampled_from(["!map", "!text", "!repr", "\0"]))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=10),
    st.sampled_from(["\0", "\udcff", "\\x00", 2**5000, -(2**5000)]),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(timezones=st.none()),
    st.sets(st.one_of(st.integers(), st.text(max_size=3), st.binary(max_size=2)), max_size=3),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=6
)


@given(params=st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=200, deadline=None)
def test_types_survive(params: dict[Any, Any]) -> None:
    """Whatever params hold comes back from JSON that every database takes, type by type."""
    written = json.dumps(encode(params), allow_nan=False)
    assert "\\u0000" not in written
    assert same_value(decode(json.loads(written)), params)


def test_plain_params_stay_readable_and_old_records_are_read() -> None:
    """What JSON can say is written as it is, and what an earlier version wrote is returned as it is."""
    plain = {"model": {"depth": 5, "rates": [0.1, None, True]}, "city": "Zürich"}
    assert encode(plain) == plain
    assert decode(plain) == plain
