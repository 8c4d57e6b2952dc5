"""An error about a dataset's entry says where the entry is."""

from __future__ import annotations

import pytest

from treadle.config.loader import ConfigLoader
from treadle.errors import DatasetError, PipelineError, UnknownDatasetError
from treadle.io import Catalog
from treadle.session.locating import declared_in, name_place

CATALOG = '\na: {type: MemoryDataset}\n"{x}_txt": {type: text.TextDataset, filepath: "{x}"}\n'


@pytest.fixture
def loader(tmp_path):
    """A loader of a catalog with an entry and a pattern."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "catalog.yml").write_text(CATALOG)
    return ConfigLoader(tmp_path)


def test_an_entry_and_a_pattern(loader, tmp_path):
    """A dataset is declared where its entry is, or where the pattern is that its name fits."""
    file = tmp_path / "base" / "catalog.yml"
    catalog = Catalog.from_config(loader["catalog"])
    assert declared_in(loader, "a", catalog) == f"{file}, line 2"
    assert declared_in(loader, "q_txt", catalog) == f"{file}, line 3"
    assert declared_in(loader, "nobody", catalog) is None


def test_the_place_stands_in_front_of_the_message_once(loader, tmp_path):
    """The message begins with the place, however often the error passes by."""
    error = DatasetError("It is broken.", dataset="a")
    name_place(error, loader)
    name_place(error, loader)
    assert str(error) == f"{tmp_path / 'base' / 'catalog.yml'}, line 2: It is broken."


@pytest.mark.parametrize("error", [UnknownDatasetError("No.", dataset="a"), PipelineError("No."), DatasetError("No.")])
def test_other_errors_stay(loader, error):
    """An error that is not about an entry stays as it is."""
    name_place(error, loader)
    assert str(error) == "No."


def test_a_loader_that_does_not_know():
    """A project's own loader need not know where its configuration stands."""
    error = DatasetError("No.", dataset="a")
    name_place(error, {})
    assert str(error) == "No."
