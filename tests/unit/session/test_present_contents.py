"""The contents of a run's datasets: each file of a dataset with several formats, and files that are replaced during the run."""

from __future__ import annotations

import pytest

from treadle.io import Catalog
from treadle.session.present_contents import PresentContents


@pytest.fixture
def files(tmp_path):
    """The files of `raw@json` and `raw@text`, and the contents of a catalog with these."""
    files = [tmp_path / "raw.json", tmp_path / "raw.txt"]
    for each in files:
        each.write_text("1")
    kinds = ("json.JSONDataset", "text.TextDataset")
    names = ("raw@json", "raw@text")
    entries = {name: {"type": kind, "filepath": str(file)} for name, kind, file in zip(names, kinds, files, strict=True)}
    return files, lambda: PresentContents(Catalog.from_config(entries), {})


@pytest.mark.parametrize("changed", [0, 1])
def test_each_file_of_a_dataset_counts(changed, files):
    """The formats of a dataset may have files of their own; a change of either one is a change of the dataset."""
    (paths, contents), names = files, ("raw@json", "raw@text")
    before = contents().of_inputs(names)
    assert contents().of_inputs(names) == before
    paths[changed].write_text("2")
    assert contents().of_inputs(names) != before
    paths[changed].unlink()
    without = contents()
    assert without.of_inputs(names) == {"raw": None}
    assert without.missing == {names[changed]}


@pytest.mark.parametrize("changed", [0, 1])
def test_each_file_is_identified_before_the_run(changed, files):
    """If nothing is skipped, contents are read after the run, provided that no file has changed since it began."""
    (paths, contents), names = files, ("raw@json", "raw@text")
    same, replaced = contents(), contents()
    same.identify(names)
    replaced.identify(names)
    digest = same.of_input_before("raw")
    assert digest is not None
    assert digest == contents().of_inputs(names)["raw"]
    assert {each.dataset for each in same.inputs_of({"input raw": digest})} == {*names}
    paths[changed].write_text("22")
    assert replaced.of_input_before("raw") is None


@pytest.mark.parametrize("changed", [0, 1])
def test_a_replaced_file_of_a_dataset_with_formats_is_noticed(changed, files):
    """Another process may replace an input between the plan and the load."""
    (paths, contents), names = files, ("raw@json", "raw@text")
    found = contents()
    found.of_inputs(names)
    assert not found.was_replaced("raw")
    paths[changed].write_text("22")
    assert found.was_replaced("raw")
