"""Parameters as they are typed, and merging."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.cli.flags_file import fill_flags
from treadle.cli.run import run
from treadle.config import merge_params, parse_params
from treadle.config.parsing import parse_config
from treadle.config.writing import TextOf, format_params, same_value, yaml_value
from treadle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=5", {"a": 5}),
        ("model.a=5,model.b=x,c=1.5", {"model": {"a": 5, "b": "x"}, "c": 1.5}),
        (" a = 1 , b = two words ", {"a": 1, "b": "two words"}),
        ("a=1e-3,b=.5,c=-2,d=+3", {"a": 0.001, "b": 0.5, "c": -2, "d": 3}),
        ("a=true,b=False,c=null,d=~,e=None", {"a": True, "b": False, "c": None, "d": None, "e": "None"}),
        ("zip='00501',day=2013-01-01,v=1.2.3,t=12:30", {"zip": "00501", "day": "2013-01-01", "v": "1.2.3", "t": "12:30"}),
        (
            "a=no,b=on,c=0644,d=0x10,e=1_000,f=1e3,g=08",
            {"a": False, "b": True, "c": 420, "d": 16, "e": 1000, "f": 1000.0, "g": "08"},
        ),
        ("a='5',b=\"x,y\"", {"a": "5", "b": "x,y"}),
        ("a=[1, 'x,y', {b: 2}],c={d: [e]}", {"a": [1, "x,y", {"b": 2}], "c": {"d": ["e"]}}),
        ("url=http://h/?q=1,path=C:\\x", {"url": "http://h/?q=1", "path": "C:\\x"}),
        ("a=it's,b=x[0],c=,d=''", {"a": "it's", "b": "x[0]", "c": None, "d": ""}),
        ("a='it''s, so',b=\"x \\\"y, z\\\"\"", {"a": "it's, so", "b": 'x "y, z"'}),
        ("a=\"b\" c,d='x'y", {"a": '"b" c', "d": "'x'y"}),
        ("a=x: y,b=p #q,c=*r,d=!s,e=- t,f==", {"a": "x: y", "b": "p #q", "c": "*r", "d": "!s", "e": "- t", "f": "="}),
        ("{2020: x, a.b: [1], '': {true: y}}", {2020: "x", "a.b": [1], "": {True: "y"}}),
    ],
)
def test_params_are_nested_and_typed(text: str, expected: dict[str, Any]) -> None:
    """Dots nest; values become numbers, booleans, null, lists and mappings, or stay texts."""
    parsed = parse_params(text)
    assert parsed == expected
    assert repr(parsed) == repr(expected)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=1,b",
        "=1",
        "a..b=1",
        ".a=1",
        "a=1,a=2",
        "a=1,a.b=2",
        "a.b=1,a=2",
        "a=[1,2",
        "a='x",
        "a=[1 2: 3",
        "{a: 1},b=2",
        "{a: 1, a: 2}",
        "a={b: 1, b: 2}",
        'a="\\d"',
    ],
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


SCALARS = (
    "2024-01-01", "2024-01-01T10:00:00Z", "12:30", "1:2:3", "1e3", "1.5e-3", "0644", "007", "08", "1_000", "0x10", "0b11",
    "0o17", "+3", "-.5", ".inf", "-.INF", ".nan", "inf", "nan", "yes", "No", "ON", "off", "true", "TRUE", "null", "~",
    "None", "", "1.2.3", "1,5", "0x_", "words and more", "=", "<<", "5 %", "é", "1.", "._", "'5'", '"5"', "'it''s'",
    '"a\\tb"', "[a, 0644]", "{a: yes}",
)  # fmt: skip


@pytest.mark.parametrize("written", SCALARS)
def test_one_rule_for_values(tmp_path: Path, written: str) -> None:
    """A value is the same in a configuration file, in a flags file, in `--params`, and in a list or mapping of any of them."""
    (tmp_path / "flags.yml").write_text(f"params:\n  a: {written}\n", encoding="utf-8")
    context = click.Context(run)
    fill_flags(context, run.params[0], tmp_path / "flags.yml")
    assert context.default_map is not None
    wanted = parse_config(f"a: {written}\n", "c.yml")["a"]
    readings = [context.default_map["params"][0]["a"]]
    if "," not in written or written[0] in "'\"[{":
        readings += [parse_params(f"a={written}")["a"], parse_params(f"a= {written} ,b=1")["a"]]
        readings += [parse_params(f"a={{b: {written}}}")["a"]["b"], parse_params(f"{{a: {written}}}")["a"]]
        readings += parse_params(f"a=[{written}, 0]")["a"][:1] if written else []
    assert all(same_value(each, wanted) for each in readings), readings


KEYS = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.sampled_from(["a.b", "a=b", "a,b", "", " x", "{", "1"])
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.text(",.=:'\"[]{}()\\ \n#&*!|>%@`-?~ax0e1_", max_size=12),
    st.sampled_from([*SCALARS, "it's", 'say "so"', "both ' and \"", "\0", "\udcff", 10**4000]),
    st.binary(max_size=8),
    st.dates(),
    st.datetimes(),
    st.sets(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=6
)


@given(params=st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back(params: dict[Any, Any]) -> None:
    """Params of every type that YAML has, under every key, are read from what `format_params` writes as they were."""
    assert same_value(parse_params(format_params(params)), params)


def test_what_yaml_cannot_say_is_made_plain() -> None:
    """Tuples become lists, paths texts, numpy's numbers Python's, and objects a text that is known to stand for none."""

    class Broken:
        def __repr__(self):
            raise ValueError

    plain = yaml_value(
        {"t": (1, 2), "p": PurePosixPath("a/b"), "n": np.float64(1.5), "i": np.int64(3), (1, 2): Broken(), "x": object}
    )
    assert plain == {
        "t": [1, 2], "p": "a/b", "n": 1.5, "i": 3, "(1, 2)": "<Broken, whose repr raises ValueError>", "x": "<class 'object'>",
    }  # fmt: skip
    assert [type(each) for each in plain.values()] == [list, str, float, int, TextOf, TextOf]
    assert same_value(parse_params(format_params({"a": 10**5000, "b": TextOf("x")})), {"a": 10**5000, "b": "x"})
    endless: list[Any] = []
    endless.append(endless)
    assert "…" in repr(yaml_value(endless))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=" + "9" * 5000, "'a' cannot be read: a number of 5000 digits is too long for Python; write it in quotes"),
        ("a=[" + "9" * 5000 + "]", "line 1, column 2 .*a number of 5000 digits"),
        ("a=" + "[" * 500 + "]" * 500, "'a'.* is nested deeper than 100 levels"),
        ("a=" + "[" * 5000 + "]" * 5000, "'a'.* is nested deeper than 100 levels"),
        (".".join("a" * 500) + "=1", "500 parts between dots; 100 is the most"),
    ],
)
def test_endless_values(text: str, said: str) -> None:
    """Numbers that Python does not convert, and nesting without end, are errors that say so."""
    with pytest.raises(ConfigError, match=said):
        parse_params(text)
