"""The identity of a file: the same whether the file is read for it or an earlier record of its content is trusted."""

from __future__ import annotations

import os

import pytest

from treadle.io.contents import content_of
from treadle.io.identity import identify_local, identify_untouched
from treadle.io.recipe import DatasetRecipe

LATER = 60_000_000_000


def known(dataset):
    """The record of a dataset as if it had been made a minute later, so that the changes before it are clearly older."""
    record = content_of(dataset, "x")
    return record._replace(taken_ns=record.taken_ns + LATER)


@pytest.fixture
def recipe(tmp_path):
    """A dataset with a text."""
    (tmp_path / "x.txt").write_text("a")
    return DatasetRecipe("x", {"type": "text.TextDataset", "filepath": "x.txt"}, project_path=str(tmp_path))


@pytest.mark.parametrize("path", ["x.txt", "data/../x.txt", "file://{root}/x.txt"])
def test_a_file_that_was_not_touched(tmp_path, path):
    """Its identity is the one that its dataset gives."""
    (tmp_path / "x.txt").write_text("a")
    recipe = DatasetRecipe("x", {"type": "text.TextDataset", "filepath": path.format(root=tmp_path)}, project_path=str(tmp_path))
    dataset = recipe.build()
    found = identify_untouched(recipe.plain_file(), known(dataset))
    assert found is not None
    assert found == dataset.file_identity()


def test_a_large_file_matches(tmp_path, recipe):
    """Its dataset does not hash it, so its attributes decide."""
    (tmp_path / "x.txt").write_bytes(bytes(2 << 20))
    found = identify_untouched(recipe.plain_file(), known(recipe.build()))
    assert found.matches(identify_local(found.path))
    (tmp_path / "x.txt").write_bytes(bytes(1 << 21) + b"1")
    assert not found.matches(identify_local(found.path))


def replaced_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.write_text("longer"),
        lambda path: path.unlink(),
        replaced_by_folder,
    ],
    ids=["touched", "written", "removed", "folder"],
)
def test_a_file_that_may_have_changed(tmp_path, recipe, change):
    """It has to be looked at."""
    record = known(recipe.build())
    change(tmp_path / "x.txt")
    assert identify_untouched(recipe.plain_file(), record) is None


def test_a_record_that_cannot_be_trusted(recipe):
    """It is too fresh, of another place, of a version, or has no digest."""
    record = known(recipe.build())
    for change in (
        {"taken_ns": record.taken_ns - LATER},
        {"location": "/elsewhere/x.txt"},
        {"version": "2026"},
        {"digest": None},
    ):
        assert identify_untouched(recipe.plain_file(), record._replace(**change)) is None
