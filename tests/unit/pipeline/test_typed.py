from __future__ import annotations

import functools
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Literal, NamedTuple, NewType, Protocol, Tuple  # noqa: UP035 - under test
from uuid import UUID

import pydantic
import pytest
from typing_extensions import NotRequired, Required, TypedDict

from treadle.errors import ConfigError
from treadle.pipeline import node
from treadle.pipeline.conversion import InvalidValueError, convert
from treadle.pipeline.typed import typed_inputs, typed_parameters

if TYPE_CHECKING:
    from fractions import Fraction


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Layer:
    width: int
    rate: float = 0.5


@dataclass
class Model:
    name: str
    layers: list[Layer]
    colour: Colour = Colour.RED
    kind: Literal["tree", "line"] = "tree"
    since: date | None = None
    file: Path | None = None
    extra: dict[str, Layer] = field(default_factory=dict)

    def __post_init__(self):
        if not self.layers:
            raise ValueError("a model needs a layer")


class Fit(pydantic.BaseModel):
    depth: int = pydantic.Field(gt=0)
    layer: dict[str, int] = {}


class Options(TypedDict):
    path: Required[Path]
    layer: NotRequired[Layer]


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Duck(Protocol):
    def quack(self): ...


@dataclass
class Scaled:
    size: tuple = (1, 2)
    scale: InitVar[int] = 1
    options: Options | None = None

    def __post_init__(self, scale):
        self.scaled = tuple(scale * each for each in self.size)


@dataclass(init=False)
class Open:
    width: int
    more: dict

    def __init__(self, width: int, **more):
        self.width, self.more = width, more


Identity = NewType("Identity", int)

PLAIN = {
    "name": "oak",
    "layers": [{"width": 3}, {"width": 4, "rate": 1}],
    "colour": "blue",
    "kind": "line",
    "since": "2026-01-31",
    "file": "a/b",
    "extra": {"last": {"width": 1}},
}
OAK = Model(
    "oak", [Layer(3), Layer(4, 1.0)], Colour.BLUE, "line", date(2026, 1, 31), Path("a/b"), {"last": Layer(1)}
)  # fmt: skip


def use(table, model: Model):
    return model


def test_a_dataclass_is_built():
    """Nested dataclasses, enums, literals, dates, paths, lists and mappings are built from plain data."""
    made = node(use, ["table", "params:model"], "out")
    assert typed_inputs(made, {"table": 1, "params:model": PLAIN}) == {"table": 1, "params:model": OAK}
    assert made.run(typed_inputs(made, {"table": 1, "params:model": PLAIN})) == {"out": OAK}


def test_an_instance_is_kept():
    """A value that is an instance already (a hook or a test gave it) is the function's as it is."""
    made = node(use, ["table", "params:model"], "out")
    assert typed_inputs(made, {"table": 1, "params:model": OAK})["params:model"] is OAK


def test_pydantic_validates():
    """A pydantic model is built by pydantic, its own conversions included."""
    made = node(lambda fit: fit, {"fit": "params:fit"}, "out")
    assert typed_parameters(made) == {}

    def fit_it(fit: Fit):
        return fit

    assert typed_inputs(node(fit_it, "params:fit", "out"), {"params:fit": {"depth": "3"}})["params:fit"] == Fit(depth=3)


def test_what_is_built():
    """Keyword inputs, partials, methods, objects, defaults, unions and lists of models; all `parameters` at once."""

    class Taker:
        def __call__(self, model: Model | None):
            return model

        def method(self, layers: list[Layer], *, fit: Annotated[Fit, "deep"]):
            return layers, fit

    def first(rate: float, layer: Layer):
        return rate, layer

    @dataclass
    class Everything:
        model: Layer

    def everything(parameters: Everything):
        return parameters

    everything.__annotations__["parameters"] = Everything
    assert typed_parameters(node(Taker(), "params:model", "out")) == {"params:model": Model | None}
    method = node(Taker().method, {"layers": "params:layers", "fit": "params:fit"}, "out")
    assert list(typed_parameters(method)) == ["params:layers", "params:fit"]
    assert typed_inputs(method, {"params:layers": [{"width": 1}], "params:fit": {"depth": 1}}) == {
        "params:layers": [Layer(1)],
        "params:fit": Fit(depth=1),
    }
    partial = node(functools.partial(first, 0.5), "params:layer", "out")
    assert typed_inputs(partial, {"params:layer": {"width": 2}}) == {"params:layer": Layer(2)}
    whole = node(everything, "parameters", "out")
    assert typed_inputs(whole, {"parameters": {"model": {"width": 2}}})["parameters"].model == Layer(2)


def test_what_is_left_alone():
    """Plain annotations, datasets that are no parameters, and types that only type checkers see change nothing."""

    def plain(numbers: list[int], text: str, price: Fraction):
        return 1

    made = node(plain, ["params:numbers", "params:text", "params:price"], "out")
    inputs = {"params:numbers": ["x"], "params:text": 5, "params:price": "1"}
    assert typed_inputs(made, inputs) is inputs
    assert typed_parameters(node(use, ["params:table", "model"], "out")) == {}


WRONG = [
    ({"layers": [{"width": 3}]}, "model.name", "requires it, but it is missing"),
    ({**PLAIN, "nmae": "x"}, "model.nmae", "Did you mean 'name'"),
    ({**PLAIN, "layers": [{"width": 3}, {"width": "4"}]}, "model.layers.1.width", "must be a whole number, not '4'"),
    ({**PLAIN, "layers": [{"width": True}]}, "model.layers.0.width", "must be a whole number, not True"),
    ({**PLAIN, "layers": {"width": 3}}, "model.layers", "must be a list"),
    ({**PLAIN, "layers": []}, "model", "ValueError: a model needs a layer"),
    ({**PLAIN, "colour": "rde"}, "model.colour", "Did you mean 'red'"),
    ({**PLAIN, "kind": "lien"}, "model.kind", "must be one of 'tree', 'line', not 'lien'. Did you mean 'line'?"),
    ({**PLAIN, "since": "soon"}, "model.since", "date rejects it"),
    ({**PLAIN, "extra": {"last": 5}}, "model.extra.last", "must be a mapping with the keys of Layer, not 5"),
    ("oak", "model", "must be a mapping with the keys of Model, not 'oak'"),
]


@pytest.mark.parametrize(("value", "key", "says"), WRONG, ids=[key for _, key, _ in WRONG])
def test_a_wrong_value_names_its_key(value, key, says):
    """The error names the key, what is wrong, the node, and what it wants."""
    made = node(use, ["table", "params:model"], "out", name="fit")
    with pytest.raises(ConfigError) as caught:
        typed_inputs(made, {"table": 1, "params:model": value})
    assert caught.value.key == key
    assert repr(key) in str(caught.value)
    assert says in str(caught.value)
    assert "Node 'fit' takes 'params:model' as Model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_of_pydantic_names_its_key():
    """What pydantic refuses is told with the key in the parameters, not with pydantic's own report."""

    def fit_it(fit: Fit):
        return fit

    with pytest.raises(ConfigError) as caught:
        typed_inputs(node(fit_it, "params:model.fit", "out"), {"params:model.fit": {"depth": 0, "layer": {"a": "x"}}})
    assert caught.value.key == "model.fit.depth"
    assert "greater than 0, not 0 (and 1 more)" in str(caught.value)
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)


@pytest.mark.parametrize(
    ("value", "kind", "made"),
    [
        (1, float, 1.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1, 1], set[int], {1}),
        ([1], frozenset[int], frozenset({1})),
        ("x", int | str, "x"),
        ({"width": 1}, Layer | None, Layer(1)),
        (None, Layer | None, None),
        ({1: "a"}, dict[int, str], {1: "a"}),
        ("RED", Colour, Colour.RED),
        ([object], list[Any], [object]),
        ([3, 4], tuple, (3, 4)),
        ([3, 4], Tuple, (3, 4)),  # noqa: UP006 - under test
        ([3, 4], List, [3, 4]),  # noqa: UP006 - under test
        ([3, 3], set, {3}),
        ([3], frozenset, frozenset({3})),
        ([3, 4], deque[int], deque([3, 4])),
        ([3, 4], Sequence, [3, 4]),
        ({"a": 1}, Mapping, {"a": 1}),
        ({"a": 1}, OrderedDict[str, int], OrderedDict(a=1)),
        ({"path": "a", "layer": {"width": 1}}, Options, {"path": Path("a"), "layer": Layer(1)}),
        ({"path": "a"}, Options, {"path": Path("a")}),
        ({"x": 1}, Point, Point(1.0)),
        ([1, 2], Point, Point(1.0, 2.0)),
        (5, Identity, 5),
        ({"width": 1}, NewType("Wide", Layer), Layer(1)),
        (5, Duck, 5),
        ("1.10", Decimal, Decimal("1.10")),
        (1.1, Decimal, Decimal("1.1")),
        ("12345678-1234-5678-1234-567812345678", UUID, UUID(int=0x12345678123456781234567812345678)),
        ({"size": [1, 2], "scale": 2}, Scaled, Scaled(scale=2, size=(1, 2))),
        ({"size": [1]}, Scaled, Scaled(size=(1,))),
        ({"width": 1, "other": 2}, Open, Open(width=1, other=2)),
    ],
)
def test_conversions(value, kind, made):
    """Plain data becomes what the type says where there is one meaning."""
    assert convert(value, kind) == made
    assert type(convert(value, kind)) is type(made)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", int),
        (1, bool),
        (1, str),
        ("ab", list[str]),
        ([1], tuple[int, int]),
        ([], dict[str, int]),
        (1.5, int | str),
        ({"path": "a", "pth": "b"}, Options),
        ({}, Options),
        (5, Options),
        ("a", Point),
        ([1, 2, 3], Point),
        ({"scale": "x"}, Scaled),
        ({"size": [1], "scle": 2}, Scaled),
        ("x", Identity),
        ([[1]], set),
        ("ab", tuple),
        ("x", Decimal),
        (True, Decimal),
    ],
)
def test_no_guessing(value, kind):
    """What could be meant otherwise is refused."""
    with pytest.raises(InvalidValueError):
        convert(value, kind)


def test_keywords_and_the_rest_are_typed():
    """What falls under `**models` or `*models` is what these say."""

    def fit(first: int, *layers: Layer, **models: Layer):
        return layers, models

    by_name = node(fit, {"first": "params:n", "big": "params:big", "layers": "params:l", "models": "params:m"}, "out")
    assert typed_parameters(by_name) == {"params:big": Layer, "params:l": Layer, "params:m": Layer}
    by_place = node(fit, ["params:n", "params:a", "params:b"], "out")
    assert typed_inputs(by_place, {"params:n": 1, "params:a": {"width": 1}, "params:b": {"width": 2}}) == {
        "params:n": 1,
        "params:a": Layer(1),
        "params:b": Layer(2),
    }


def test_a_typed_dict_within_a_dataclass():
    """An error in a TypedDict, which no `isinstance` takes, names its key."""

    def use_it(scaled: Scaled):
        return scaled

    made = node(use_it, "params:s", "out")
    built = typed_inputs(made, {"params:s": {"scale": 3, "options": {"path": "a"}}})["params:s"]
    assert (built.scaled, built.options) == ((3, 6), {"path": Path("a")})
    with pytest.raises(ConfigError, match=r"Options has no such key.*Did you mean 'path'") as caught:
        typed_inputs(made, {"params:s": {"options": {"path": "a", "pathh": "b"}}})
    assert caught.value.key == "s.options.pathh"
