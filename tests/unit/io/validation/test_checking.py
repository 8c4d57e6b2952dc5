"""Values that are checked: what counts as a validator, what it may return and raise, and what an error shows."""

from __future__ import annotations

import logging
import pickle
import sys
import types

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pandera.polars
import polars as pl
import pytest

from treadle import Catalog
from treadle.errors import DatasetError, DataValidationError
from treadle.execution.attempt.failure import record_failure
from treadle.io.recipe import DatasetRecipe
from treadle.io.validation.checking import DatasetValidator
from treadle.io.validation.declaration import read_validator
from treadle.io.validation.failures import CheckFailure
from treadle.secrets import register_secrets

LONG = "y" * 5000


class Model(pa.DataFrameModel):
    price: float = pa.Field(gt=0, coerce=True)
    api_token: str = pa.Field(str_startswith="t", default="t")
    shop: str = pa.Field(isin=["north", "south"])


class OfPolars(pandera.polars.DataFrameModel):
    price: float = pandera.polars.Field(gt=0)


class Between:
    def __init__(self, low=0, high=9):
        self.low, self.high = low, high

    def validate(self, data):
        return [min(max(each, self.low), self.high) for each in data]


class WithoutValidate:
    pass


class Refusing:
    def validate(self, data):
        raise RuntimeError(f"the whole data: {data}")


class WithoutTextError(Exception):
    def __str__(self):
        raise TypeError("no text")


def raises_without_text(data):
    raise WithoutTextError


def raises_long(data):
    try:
        _ = {}[LONG]
    except KeyError as exc:
        raise ValueError("short") from exc


def asserts(data):
    assert data, "there is nothing"


def at_least(data, low):
    return min(data) >= low


def no_parameters():
    return True


THIS = types.ModuleType("validators_of_this_test")
for _value in (
    Model,
    OfPolars,
    Between,
    WithoutValidate,
    Refusing,
    raises_long,
    raises_without_text,
    asserts,
    at_least,
    no_parameters,
):
    setattr(THIS, _value.__name__, _value)
THIS.schema = pa.DataFrameSchema({"price": pa.Column(int, pa.Check.gt(0, error="is positive"))})
THIS.between = Between(2, 3)
THIS.flags = pa.DataFrameSchema({"price": pa.Column(bool)}, coerce=True)
THIS.number = 5


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, THIS.__name__, THIS)


def check(name, data, moment="save", **declared):
    """Check a value with a validator of this module."""
    recipe = read_validator("orders", {"class": f"{THIS.__name__}.{name}", **declared})
    return DatasetValidator("orders", recipe).check(data, moment)


def refused(name, data, **declared):
    with pytest.raises(DataValidationError) as caught:
        check(name, data, **declared)
    assert pickle.loads(pickle.dumps(caught.value)).failures == caught.value.failures
    return caught.value


@pytest.mark.parametrize(
    ("name", "options", "data", "expected"),
    [
        ("Between", {}, [-1, 5], [0, 5]),
        ("Between", {"high": 4}, [-1, 5], [0, 4]),
        ("between", {}, [1, 5], [2, 3]),
        ("between.validate", {}, [1, 5], [2, 3]),
        ("asserts", {}, [1], [1]),
        ("at_least", {"low": 1}, [1, 2], [1, 2]),
    ],
)
def test_what_may_be_a_validator(name, options, data, expected):
    """A class with its options, an object, a method, a function; None and True leave the value as it is."""
    assert check(name, data, options=options) == expected


@pytest.mark.parametrize(
    ("name", "declared", "said"),
    [
        ("Missing", {}, f"{THIS.__name__} has no 'Missing'"),
        ("Betwen", {}, "has no 'Betwen'. Did you mean 'between'"),
        ("number.x.y", {}, "number has no 'x'"),
        ("WithoutValidate", {}, "the class WithoutValidate has no method `validate`"),
        ("Between", {"options": {"lo": 1}}, "Between cannot be created: TypeError"),
        ("number", {}, "it is of the type int, neither a class with `validate` nor a function"),
        ("no_parameters", {}, "it cannot be called with the data of the dataset and its options: too many positional arguments"),
        ("at_least", {}, "missing a required argument: 'low'"),
        ("Model", {"options": {"lazi": True}}, r"unknown option 'lazi'\. Did you mean 'lazy'"),
    ],
)
def test_what_is_no_validator(name, declared, said):
    """It is an error of the catalog entry, and says what is wrong."""
    with pytest.raises(DatasetError, match=said) as caught:
        check(name, [1], **declared)
    assert caught.value.dataset == "orders"
    assert not isinstance(caught.value, DataValidationError)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere_at_all.Orders", "there is no module 'nowhere_at_all'"),
        ("treadle.nowhere.Orders", "treadle has no 'nowhere'"),
        ("pandera_missing.checks.Orders", "there is no module 'pandera_missing'"),
    ],
)
def test_a_path_that_cannot_be_imported(path, said):
    """The error names the part of the path that does not exist; frames of the import, which say nothing, are not behind it."""
    with pytest.raises(DatasetError, match=said) as caught:
        DatasetValidator("orders", read_validator("orders", path))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_validator_that_needs_pandera_without_pandera(tmp_path, monkeypatch):
    """The error says how to install it."""
    (tmp_path / "needs_pandera.py").write_text("import pandera\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "pandera", None)
    with pytest.raises(DatasetError, match=r'pip install "treadle\[pandera\]"'):
        DatasetValidator("orders", read_validator("orders", "needs_pandera.Orders"))


def test_a_model_of_pandera():
    """All failed checks are collected with a few rows each; the values are converted; values of a secret column are not shown."""
    good = check("Model", pd.DataFrame({"price": ["1", "2"], "api_token": "t1", "shop": "north"}))
    assert good.price.tolist() == [1.0, 2.0]
    table = pd.DataFrame({"price": [1, -1, -2, -3, -4, -5, -6], "api_token": "hunter2", "shop": ["west"] + 6 * ["south"]})
    error = refused("Model", table)
    assert error.failures == (
        CheckFailure("greater_than(0)", "price", 6, ("row 1: -1.0", "row 2: -2.0", "row 3: -3.0", "row 4: -4.0", "row 5: -5.0")),
        CheckFailure("str_startswith('t')", "api_token", 7, ()),
        CheckFailure("isin(['north', 'south'])", "shop", 1, ("row 0: 'west'",)),
    )
    lines = str(error).splitlines()
    assert lines[0] == f"Dataset 'orders' was refused by its validator {THIS.__name__}.Model before it was saved:"
    examples = "row 1: -1.0; row 2: -2.0; row 3: -3.0; row 4: -4.0; row 5: -5.0"
    assert lines[1] == f"  column 'price': greater_than(0) failed for 6 values, such as {examples}"
    assert lines[2] == "  column 'api_token': str_startswith('t') failed for 7 values"
    assert lines[3] == "  column 'shop': isin(['north', 'south']) failed for row 0: 'west'"
    assert error.__cause__ is error.__context__ is None
    assert "hunter2" not in record_failure(error, phase="save").traceback


def test_a_schema_of_pandera():
    """With its options: only the first failure, only the first rows."""
    (failure,) = refused("schema", pd.DataFrame({"price": [1, -1]}), options={"lazy": False}).failures
    assert (failure.column, failure.failed, failure.examples) == ("price", 1, ("row 1: -1",))
    assert check("schema", pd.DataFrame({"price": [1, -1]}), options={"head": 1}).price.tolist() == [1, -1]
    (failure,) = refused("schema", pd.DataFrame({"prize": [1]})).failures
    assert "column_in_dataframe" in failure.check


def test_a_frame_of_polars():
    """The same with the backend of another library."""
    assert check("OfPolars", pl.DataFrame({"price": [1.0]})).shape == (1, 1)
    (failure,) = refused("OfPolars", pl.DataFrame({"price": [1.0, -1.0, -2.0]})).failures
    assert (failure.check, failure.column, failure.failed) == ("greater_than(0)", "price", 2)
    assert failure.examples == ("row 1: '-1.0'", "row 2: '-2.0'")


def test_a_backend_that_reports_and_does_not_raise():
    """As that for Spark: the failures are read from the frame that it returns."""

    class Frame:
        pandera = types.SimpleNamespace(errors={"DATA": {"CHECK": [{"column": "price", "check": "greater_than(0)"}]}})

    class Schema:
        def validate(self, data, lazy):
            return data

    Frame.__module__, Schema.__module__ = "pyspark.sql.dataframe", "pandera.api.pyspark.container"
    THIS.spark = Schema()
    assert refused("spark", Frame()).failures == (CheckFailure("greater_than(0)", "price"),)
    Frame.pandera = types.SimpleNamespace(errors={})
    assert isinstance(check("spark", Frame()), Frame)


def test_whatever_a_validator_raises():
    """Its message is shown, but not a whole table: neither in the message nor in a cause."""
    register_secrets("hunter2")
    error = refused("asserts", [])
    assert error.failures[0].check.startswith("AssertionError: there is nothing")
    assert isinstance(error.__cause__, AssertionError)
    error = refused("Refusing", LONG)
    assert len(str(error)) < 600
    assert "in validate" in record_failure(error, phase="save").traceback
    for failing in ("Refusing", "raises_long"):
        assert LONG not in record_failure(refused(failing, LONG), phase="save").traceback
    assert "hunter2" not in str(refused("Refusing", "hunter2"))
    assert refused("raises_without_text", []).failures == (CheckFailure("WithoutTextError"),)
    assert refused("at_least", [0], options={"low": 1}).failures == (CheckFailure("it returned False"),)


@pytest.mark.parametrize(
    ("positive", "good", "bad", "failures"),
    [
        (
            lambda data: data["x"] > 0,
            pd.DataFrame({"x": [1, 2]}),
            pd.DataFrame({"x": [1, -2, 3, -4]}, index=list("abcd")),
            [CheckFailure("positive", None, 2, ("row b", "row d"))],
        ),
        (
            lambda data: data[["x", "y"]] > 0,
            pd.DataFrame({"x": [1], "y": [1]}),
            pd.DataFrame({"x": [1, 2], "y": [1, 0]}),
            [CheckFailure("positive", "y", 1, ("row 1",))],
        ),
        (
            lambda data: data.astype("Int64") > 0,
            pd.Series([1, 2]),
            pd.Series([1, None]),
            [CheckFailure("positive", None, 1, ("row 1",))],
        ),
        (
            lambda data: data["x"] > 0,
            pl.DataFrame({"x": [1]}),
            pl.DataFrame({"x": [0] * 7}),
            [CheckFailure("positive", None, 7, tuple(f"row {row}" for row in range(5)))],
        ),
        (
            lambda data: data.select(pl.all() > 0),
            pl.DataFrame({"x": [1]}),
            pl.DataFrame({"x": [None, 1]}),
            [CheckFailure("positive", "x", 1, ("row 0",))],
        ),
        (lambda data: data > 0, np.ones(2), np.array([[1, 1], [1, 0]]), [CheckFailure("positive", None, 1, ("row 1",))]),
    ],
)
def test_a_result_for_each_value(positive, good, bad, failures):
    """Booleans for each value of the data are the result of the check, and never replace the data."""
    THIS.positive = positive
    assert check("positive", good) is good
    error = refused("positive", bad)
    assert list(error.failures) == failures
    assert f"failed for {failures[0].examples[0]}" in str(error) or f"such as {failures[0].examples[0]}; row" in str(error)


def test_booleans_that_replace_the_data():
    """Those of data that is of booleans itself, and those that a schema has converted."""
    THIS.inverted = np.logical_not
    assert check("inverted", np.array([True, False])).tolist() == [False, True]
    assert check("flags", pd.DataFrame({"price": [0, 1]})).price.tolist() == [False, True]


def test_a_warning(caplog):
    """It is logged with the same text, and the value is used as it is."""
    with caplog.at_level(logging.WARNING):
        assert check("asserts", [], severity="warn") == []
    assert "Dataset 'orders' was refused" in caplog.text
    assert "The value is used as it is (severity: warn)." in caplog.text


def test_when_it_checks():
    """Only what is declared with `on`."""
    assert check("asserts", [], moment="load", on="save") == []
    with pytest.raises(DataValidationError, match=r"(?s)after it was loaded.*Correct the data"):
        check("asserts", [], moment="load", on="load")


def test_many_checks_are_not_all_in_the_message():
    """The message has ten of them, the error all."""
    frame = pd.DataFrame({f"c{number}": [0] for number in range(12)})
    THIS.wide = pa.DataFrameSchema({name: pa.Column(int, pa.Check.gt(0)) for name in frame})
    error = refused("wide", frame)
    assert len(error.failures) == 12
    assert "and 2 more checks" in str(error)


def test_the_catalog_of_a_program(tmp_path):
    """Loading and saving by name check; `to_config` has the validator; a dataset that replaces the entry has none."""
    entry = {"type": "json.JSONDataset", "filepath": "x.json", "validator": f"{THIS.__name__}.Between"}
    catalog = Catalog.from_config({"{name}_n": entry}, project_path=tmp_path)
    catalog.save("a_n", [-1, 50])
    assert (tmp_path / "x.json").read_text().split() == ["[0,", "9]"] or catalog.load("a_n") == [0, 9]
    assert Catalog.from_config(**catalog.to_config()._asdict()).load("a_n") == [0, 9]
    stored = DatasetRecipe("a_n", {"type": "pickle.PickleDataset", "filepath": str(tmp_path / "x.pickle")})
    for replaced in (catalog.with_data({"a_n": [-7]}), catalog.with_recipes([stored])):
        assert replaced.validator_recipe("a_n") == catalog.validator_recipe("a_n")
    catalog["a_n"] = [-7]
    assert catalog.load("a_n") == [-7]


def test_checks_on_request(tmp_path):
    """A result instead of an exception, for stored and for given data; the data is that which the validator returns."""
    entries = {
        "good": {"type": "json.JSONDataset", "filepath": "good.json", "validator": f"{THIS.__name__}.Between"},
        "bad": {
            "type": "json.JSONDataset",
            "filepath": "bad.json",
            "validator": {"class": f"{THIS.__name__}.asserts", "on": "save"},
        },
        "soft": {"type": "MemoryDataset", "validator": {"class": f"{THIS.__name__}.asserts", "severity": "warn"}},
        "wrong": {"type": "MemoryDataset", "validator": f"{THIS.__name__}.nothing"},
    }
    catalog = Catalog.from_config(entries, project_path=tmp_path)
    (tmp_path / "good.json").write_text("[-1, 50]")
    catalog["plain"] = 1
    found = catalog.validate("good")
    assert (found.status, found.data, bool(found)) == ("passed", [0, 9], True)
    found = catalog.validate("bad", [], on="save")
    assert (found.status, bool(found), found.failures[0].check[:14]) == ("failed", False, "AssertionError")
    assert "was refused by its validator" in found.message
    statuses = [catalog.validate(name, []).status for name in ("bad", "soft", "wrong", "plain", "unknown")]
    assert statuses == ["skipped", "warned", "error", "skipped", "error"]
    assert "Its validator checks only on save." in catalog.validate("bad", []).message
    assert catalog.validate("soft").status == "error"  # it has no data
    with pytest.raises(ValueError, match="on= must be 'load' or 'save'"):
        catalog.validate("good", on="later")
