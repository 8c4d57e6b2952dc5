"""Parsing of one configuration file, and the lines that errors name."""

from __future__ import annotations

import pytest

from treadle.config.parsing import line_of, parse_config
from treadle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-2", -2),
        ("0x1F", 31),
        ("1_000", 1000),
        ("2013-01-01", "2013-01-01"),
        ("12:30:45", "12:30:45"),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("null", None),
        ("'5'", "5"),
        ("08", "08"),
    ],
)
def test_yaml_scalars_read_as_meant(text: str, value: object) -> None:
    """Numbers are numbers with and without exponent; dates and times stay texts."""
    parsed = parse_config(f"x: {text}", "p.yml")["x"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_special_floats() -> None:
    """Infinity and not-a-number are floats."""
    parsed = parse_config("a: .inf\nb: -.inf\nc: .nan", "p.yml")
    assert parsed["a"] == float("inf")
    assert parsed["b"] == float("-inf")
    assert parsed["c"] != parsed["c"]


@pytest.mark.parametrize("file", ["p.yml", "p.json"])
def test_empty_file_is_empty(file: str) -> None:
    """A file without content gives an empty mapping."""
    assert parse_config(" \n", file) == {}


def test_merge_keys_may_repeat_what_they_override() -> None:
    """A key beside a merge overrides the merged one and is no duplicate."""
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n"
    assert parse_config(text, "p.yml")["use"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("file", "text", "line", "key"),
    [
        ("p.yml", "a: 1\nb:\n\tc: 1\n", 3, None),
        ("p.yml", "a: 1\nb: c: d\n", 2, None),
        ("p.yml", "a: 1\nb:\n  c: 1\n  c: 2\n", 4, "c"),
        ("p.yml", "a: 1\nb:\n  - {c: 1, c: 2}\n", 3, "c"),
        ("p.yml", "- 1\n", 1, None),
        ("p.yml", "a: 1\n---\nb: 2\n", 2, None),
        ("p.yml", "a: &x\n  b: *x\n", 1, None),
        ("p.yml", "a: 1\nb: \x01\n", 2, None),
        ("p.yml", "a: 1\nb: !!python/name:os.system x\n", 2, None),
        ("p.json", '{"a": 1,\n "b": }', 2, None),
        ("p.json", '{"a": 1,\n "b": {"c": 1,\n\t"c": 2}}', 3, "c"),
        ("p.json", "[1]", 1, None),
    ],
)
def test_broken_files_are_errors_with_file_line_and_key(file: str, text: str, line: int, key: str | None) -> None:
    """A broken file, a duplicate key or a wrong top level names file and line, and the key where there is one."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, file)
    assert (caught.value.file, caught.value.line, caught.value.key) == (file, line, key)
    assert file in str(caught.value)


def test_errors_do_not_quote_the_content() -> None:
    """The message of a broken file does not show the line, which may hold a secret, nor does its chain."""
    with pytest.raises(ConfigError) as caught:
        parse_config("password: s3cr3t: 'oops\n", "credentials.yml")
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("p.yml", "a: 1\nb:\n  c:\n    - 1\n    - x\n"),
        ("p.json", '{"a": 1,\n "b": {\n\t"c": [\n1,\n"x"]}}'),
    ],
)
def test_lines_are_found_by_path(file: str, text: str) -> None:
    """Each step of a path has its line, in YAML and JSON; a path that ends early gives its deepest line."""
    assert line_of(text, file, ["b"]) == 2
    assert line_of(text, file, ["b", "c"]) == 3
    assert line_of(text, file, ["b", "c", 1]) == 5
    assert line_of(text, file, ["b", "c", 9]) == 3
    assert line_of(text, file, ["z"]) is None


def test_lines_follow_merge_keys() -> None:
    """The line of a merged key is where it is written."""
    assert line_of("_t: &t\n  x: 1\nuse:\n  <<: *t\n", "p.yml", ["use", "x"]) == 2


@pytest.mark.parametrize(("file", "opening", "closing"), [("c.yml", "[", "]"), ("c.yml", "{a: ", "}"), ("c.json", "[", "]")])
@pytest.mark.parametrize("depth", [101, 500, 20_000])
def test_nesting_without_end(file, opening, closing, depth):
    """What is nested deeper than anything reads is an error with the file; a hundred levels are read."""
    key = '"a"' if file.endswith(".json") else "a"
    with pytest.raises(ConfigError, match=r"c\.(yml|json).*(is nested deeper than 100 levels|not valid YAML)"):
        parse_config(f"{{{key}: {opening * depth}1{closing * depth}}}", file)
    assert parse_config(f"{{{key}: {opening * 90}1{closing * 90}}}", file)


def test_nested_blocks():
    """Blocks nest as brackets do."""
    text = "\n".join(f"{' ' * level}a:" for level in range(500))
    with pytest.raises(ConfigError, match="is nested deeper than 100 levels"):
        parse_config(text, "c.yml")


def test_a_number_of_thousands_of_digits():
    """A number that Python does not convert is an error with file, line and what to do."""
    with pytest.raises(ConfigError, match=r"c\.yml, line 2.*a number of 5000 digits.*write it in quotes") as caught:
        parse_config(f"a: 1\nb: {'9' * 5000}\n", "c.yml")
    assert caught.value.line == 2
