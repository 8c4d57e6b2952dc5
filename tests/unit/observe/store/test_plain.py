"""Values made plain for the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from enum import Enum
from pathlib import Path

import pytest

from treadle.config.writing import yaml_value
from treadle.events import ContentRecord
from treadle.observe.store.plain import MAX_REPR, plain_text, plain_texts, plain_tuples, plain_value
from treadle.secrets import register_secrets


class Colour(Enum):
    """An enum as a param may hold one."""

    RED = "red"


class Text(str):
    """A text of another type."""

    __slots__ = ()


class Unrepresentable:
    """An object whose repr fails."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("text", "text"),
        (Path("a/b"), str(Path("a/b"))),
        (date(2026, 1, 2), "2026-01-02"),
        (Colour.RED, "red"),
        ((1, [2]), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        ({1: {"x": (2,)}}, {"1": {"x": [2]}}),
        (Unrepresentable(), "<Unrepresentable, whose repr raises RuntimeError>"),
    ],
)
def test_plain_value_is_what_json_can_say(value: object, plain: object) -> None:
    """Each kind of value becomes what JSON has a word for."""
    assert plain_value(value) == plain
    json.dumps(plain_value(value), allow_nan=False)


def test_a_list_that_holds_itself_ends() -> None:
    """Depth is bounded, so a circular param cannot stop a record."""
    endless: list[object] = []
    endless.append(endless)
    assert "…" in json.dumps(plain_value(endless), ensure_ascii=False)


def test_a_long_repr_is_cut() -> None:
    """An object's repr is kept to its beginning."""
    assert len(plain_value(bytes(10 * MAX_REPR))) == MAX_REPR + 1


def test_text_loses_what_databases_refuse() -> None:
    """NUL and lone surrogates are written as escapes; the rest stays."""
    assert plain_text("a\0b\udcffç") == "a\\x00b\\udcffç"


@pytest.mark.parametrize("texts", [(), ("a", "b"), ("a", "b\0"), ("a", "\ud800"), ("a", "ä")])
def test_texts_are_converted_together_as_each_alone(texts: tuple[str, ...]) -> None:
    """Most are ASCII, and are not looked at one by one."""
    assert list(plain_texts(texts)) == [plain_text(text) for text in texts]


@pytest.mark.parametrize("location", ["/data/a.csv", "/data/\u00fc.csv", "/data/\udcff.csv", "/data/\0.csv", None])
def test_content_records_are_converted_together_as_each_alone(location: str | None) -> None:
    records = [ContentRecord("a", "/data/b.csv", None, 1, 2, "xxh3:0", 3), ContentRecord("a", location, "v", None, None, None, 3)]
    assert plain_tuples(records) == [plain_value(record._asdict()) for record in records]


@pytest.mark.parametrize(
    "value", [Path("/data"), date(2026, 1, 2), Colour.RED, float("nan"), Text("\udcff"), 2.5, b"x"], ids=repr
)
def test_other_values_in_content_records(value: object) -> None:
    """A dataset of a project may return such a record; the session can be saved nevertheless."""
    records = [ContentRecord("a", "/data/a.csv", value, value, 2, "xxh3:0", 3)]  # type: ignore[arg-type]
    assert plain_tuples(records) == [plain_value(record._asdict()) for record in records]
    json.dumps(plain_tuples(records), allow_nan=False)


@pytest.mark.parametrize("convert", [plain_value, yaml_value])
def test_a_secret_at_the_cut_is_masked(convert: Callable[[object], object]) -> None:
    """Half of it, which no mask would recognise, is not left at the end."""
    register_secrets("correct-horse-battery")

    class Client:
        def __repr__(self) -> str:
            return "-" * (MAX_REPR - 10) + "correct-horse-battery, and more"

    assert convert(Client()) == "-" * (MAX_REPR - 10) + "***, and m…"
