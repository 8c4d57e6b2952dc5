from __future__ import annotations

import pytest

from treadle.errors import DatasetError
from treadle.io.factories import DatasetFactories
from treadle.io.recipe import DatasetRecipe


def factories(*patterns, config=None, **more):
    return DatasetFactories((DatasetRecipe(pattern, config or {"type": "MemoryDataset"}) for pattern in patterns), **more)


def test_placeholders_are_filled_at_any_depth():
    """What a placeholder stands for is put into every text of the entry."""
    config = {"type": "{kind}.CSVDataset", "filepath": "{name}/{name}.csv", "load_args": {"cols": ["{name}", 1]}}
    made = factories("{name}_{kind}", config=config).recipe("planes_pandas")
    assert made.name == "planes_pandas"
    assert made.config == {"type": "pandas.CSVDataset", "filepath": "planes/planes.csv", "load_args": {"cols": ["planes", 1]}}


def test_the_most_specific_pattern_wins():
    """Patterns are tried by their fixed characters, then by how many placeholders they have, then by name."""
    made = factories("{all}", "{a}_csv", "raw_{a}_csv", "{b}_{a}_csv", "{z}_csv")
    assert made.patterns == ("raw_{a}_csv", "{b}_{a}_csv", "{a}_csv", "{z}_csv", "{all}")


def test_no_fit():
    """A name that no pattern fits has no recipe."""
    assert factories("{a}_csv").recipe("planes_json") is None
    assert factories("{a}_csv").recipe("_csv") is None


def test_a_repeated_placeholder_stands_for_one_text():
    """A placeholder that occurs twice in a pattern must stand for the same text."""
    made = factories("{a}_to_{a}")
    assert made.recipe("x_to_x") is not None
    assert made.recipe("x_to_y") is None


def test_other_signs_are_plain_text():
    """Dots and other signs of regular expressions mean themselves."""
    made = factories("space.{a}@pandas")
    assert made.recipe("space.x@pandas") is not None
    assert made.recipe("spaceyx@pandas") is None


def test_credentials_are_chosen_by_placeholder():
    """A placeholder may choose the credentials, and only those go along."""
    made = factories("{a}_s3", config={"type": "x", "credentials": "{a}"}, credentials={"mine": 1, "theirs": 2})
    assert made.recipe("mine_s3").credentials == {"mine": 1}


@pytest.mark.parametrize(
    ("patterns", "config", "text"),
    [
        (("{a}", "{b}"), None, "2 patterns that match every name"),
        (("{a}_csv",), {"type": "x", "filepath": "{b}.csv"}, r"uses the placeholder '\{b\}'.*only \{a\}"),
        (("{a_csv",), None, "unmatched brace"),
        (("{a}_{b",), None, "unmatched brace"),
        (("{}_csv",), None, "must be a plain name"),
        (("{a b}_csv",), None, "must be a plain name"),
    ],
)
def test_malformed_patterns(patterns, config, text):
    """A pattern that cannot work is an error when the catalog is made, naming it."""
    with pytest.raises(DatasetError, match=text):
        factories(*patterns, config=config)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/{name}.txt", "../../etc/passwd_x"),
        ("data/{name}.txt", "a/../../b_x"),
        ("data/{name}.txt", "..\\..\\b_x"),
        ("data/{name}", ".._x"),
        ("{name}.txt", "/etc/passwd_x"),
        ("{name}.txt", "~/secret_x"),
        ("{name}.txt", "s3://other/bucket_x"),
        ("{name}.txt", "C:\\other_x"),
        ("../shared/{name}.txt", "../other_x"),
        ("s3://bucket/{name}.txt", "../other_x"),
    ],
)
@pytest.mark.parametrize("inner", [False, True])
def test_a_name_does_not_lead_out_of_the_folder(path, name, inner):
    """A dataset's name cannot make a pattern's path climb out of its folder, or absolute."""
    entry = {"type": "text.TextDataset", "filepath": path}
    made = factories("{name}_x", config={"type": "CachedDataset", "dataset": entry} if inner else entry)
    with pytest.raises(DatasetError, match="outside the folder of the pattern") as caught:
        made.recipe(name)
    assert caught.value.dataset == name


def test_dots_in_names_are_harmless():
    """Dots that are no path of their own, and paths that the pattern itself gives, stay as they are."""
    made = factories("{name}_x", config={"type": "t", "filepath": "../shared/{name}.txt"})
    assert made.recipe("a..b/c_x").config["filepath"] == "../shared/a..b/c.txt"
    made = factories("{name}_x", config={"type": "t", "filepath": "/data/{name}.txt", "note": "{name}"})
    assert made.recipe("...a_x").config["filepath"] == "/data/...a.txt"
    assert made.recipe("a_x").config["note"] == "a"
