"""What `validator:` of a catalog entry may say."""

from __future__ import annotations

import pickle

import pytest
import yaml

from treadle import Catalog
from treadle.errors import DatasetError
from treadle.io.validation.declaration import ValidatorRecipe, read_validator, validation_enabled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop.checks.Orders", ValidatorRecipe("shop.checks.Orders", ("load", "save"), False, {})),
        ("{class: a.B, on: save}", ValidatorRecipe("a.B", ("save",), False, {})),
        ('{class: a.B, "on": [save, load], severity: warn}', ValidatorRecipe("a.B", ("load", "save"), True, {})),
        ("{class: a.B, severity: error, options: {low: 1}}", ValidatorRecipe("a.B", ("load", "save"), False, {"low": 1})),
        ("{class: a.B, enabled: false}", None),
    ],
)
def test_what_is_read(text, expected):
    """A path, or a mapping; YAML reads an unquoted `on` as the value true."""
    found = read_validator("orders", yaml.safe_load(text))
    assert found == expected
    assert pickle.loads(pickle.dumps(found)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a.B]", "write the path of a class, or a mapping with the key `class`"),
        ("5", "it is 5"),
        ("Orders", r"'Orders' has no module; write the whole path, such as shop.checks.Orders"),
        ("{clas: a.B}", r"unknown key 'clas'\. Did you mean 'class'"),
        ("{class: a.B, skip_load_after_save: true}", "Write `on: save` to check only what is saved"),
        ("{on: load}", "its `class` is None"),
        ("{class: a.B, on: often}", r"its `on` is 'often'; write load, save or \[load, save\]"),
        ("{class: a.B, on: []}", r"its `on` is \[\]"),
        ('{class: a.B, on: load, "on": save}', "the key `on` twice"),
        ("{class: a.B, severity: fatal}", "its `severity` is 'fatal'; write error or warn"),
        ("{class: a.B, options: [1]}", r"its `options` are \[1\]"),
        ('{class: a.B, enabled: "no"}', "its `enabled` is 'no'; write true or false, without quotes"),
    ],
)
def test_a_wrong_declaration_is_an_error_of_the_catalog(text, said):
    """It names the dataset, the key and what to write, before anything runs; of a pattern, too."""
    for name in ("orders", "{name}_orders"):
        entry = {"type": "json.JSONDataset", "filepath": "x.json", "validator": yaml.safe_load(text)}
        with pytest.raises(DatasetError, match=said) as caught:
            Catalog.from_config({name: entry})
        assert caught.value.dataset == name


def test_a_validator_belongs_to_the_entry_itself():
    """In the entry of a wrapped dataset it would not be used."""
    entry = {"type": "CachedDataset", "dataset": {"type": "json.JSONDataset", "filepath": "x.json", "validator": "a.B"}}
    with pytest.raises(DatasetError, match="Move it one level up"):
        Catalog.from_config({"orders": entry})


@pytest.mark.parametrize(
    ("value", "setting", "expected"),
    [("", True, True), ("", False, False), ("OFF", True, False), ("0", True, False), ("on", False, True), ("1", False, True)],
)
def test_the_switch(monkeypatch, value, setting, expected):
    """The environment variable has precedence over the setting."""
    monkeypatch.setenv("TREADLE_DATASET_VALIDATION", value)
    assert validation_enabled(setting=setting) is expected


def test_a_wrong_switch_is_an_error(monkeypatch):
    """It is not taken for on or off."""
    monkeypatch.setenv("TREADLE_DATASET_VALIDATION", "of")
    with pytest.raises(DatasetError, match=r"TREADLE_DATASET_VALIDATION is 'of'\. Set it to `on` or `off`"):
        Catalog.from_config({})
