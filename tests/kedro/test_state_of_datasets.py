"""Attributes that saving sets on Kedro datasets are copied to other processes; each dataset is released once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


@pytest.fixture(params=["configured", "given"])
def start(request, knots, warm_runner, tmp_path):
    """`start(nodes, "temporary", …)`: the outputs and the catalog of a run, its datasets from configuration or as objects."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import pipeline

    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)

    def run(nodes, *names, **options):
        folder = tmp_path / "files"
        folder.mkdir()
        if request.param == "configured":
            entry = {"type": "knots.TemporaryDataset", "folder": str(folder), **options}
            catalog = DataCatalog.from_config(dict.fromkeys(names, entry))
        else:
            catalog = DataCatalog({name: knots.TemporaryDataset(str(folder), **options) for name in names})
        catalog["text"] = MemoryDataset("yarn")
        catalog["meeting"] = MemoryDataset(str(meeting))
        outputs = warm_runner.run(pipeline(nodes), catalog)
        return outputs, catalog, folder

    return run


def test_released_once_after_the_last_consumer(start, knots):
    """A dataset whose release removes its file serves consumers in two workers, and is released once, in the main process."""
    from kedro.pipeline import node

    nodes = [
        node(str.upper, "text", "temporary", name="make"),
        node(knots.greet, ["temporary", "meeting"], "first"),
        node(knots.answer, ["temporary", "meeting"], "second"),
    ]
    outputs, _catalog, folder = start(nodes, "temporary")
    (first, one), (second, other) = outputs["first"].load(), outputs["second"].load()
    assert (first, second) == ("YARN", "YARN")
    assert one != other
    assert [path.name for path in folder.iterdir()] == ["released"]
    assert Path(folder, "released").read_text().split() == [str(os.getpid())]


def test_the_main_process_knows_what_saving_taught(start, knots):
    """A free output whose object learned by saving can be loaded after the run, and is not released by it."""
    from kedro.pipeline import node

    outputs, catalog, folder = start([node(str.upper, "text", "kept", name="make")], "kept")
    assert outputs["kept"].load() == catalog.load("kept") == "YARN"
    assert catalog.get("kept").saved["times"] == 1
    assert not Path(folder, "released").exists()


def test_what_cannot_travel_is_named_with_its_remedy(start, knots, caplog):
    """State that does not pickle stays where it is: the log says which, of what dataset, and what to do."""
    from kedro.pipeline import node

    outputs, _catalog, _folder = start([node(str.upper, "text", "kept", name="make")], "kept", stuck=True)
    assert outputs["kept"].load() == "YARN"
    (text,) = [record.getMessage() for record in caplog.records if "cannot be pickled" in record.getMessage()]
    assert text.startswith("Saving dataset 'kept' set attributes that cannot be pickled: lock (lock: ")
    assert "_SINGLE_PROCESS = True" in text


def test_a_release_that_fails_fails_the_run(knots, warm_runner, tmp_path):
    """What `_release` raises is what the run raises, as under Kedro's own runners."""
    from kedro.io import DataCatalog, DatasetError, MemoryDataset
    from kedro.pipeline import node, pipeline

    nodes = pipeline([node(str.upper, "text", "temporary", name="make"), node(str.lower, "temporary", "low", name="low")])
    catalog = DataCatalog({"text": MemoryDataset("yarn"), "temporary": knots.TemporaryDataset(str(tmp_path))})
    (tmp_path / "released").mkdir()
    with pytest.raises(DatasetError, match="Failed during release"):
        warm_runner.run(nodes, catalog)


def test_transcoded_datasets_are_both_released(knots, warm_runner, tmp_path):
    """The object that saves is released when it has saved, the one that loads after its last consumer, as Kedro does."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    for name in ("saved", "loaded"):
        (tmp_path / name).mkdir()
    source = knots.TemporaryDataset(str(tmp_path / "loaded"))
    source.save("wool")
    entries = {"text": MemoryDataset("yarn"), "ds@saved": knots.TemporaryDataset(str(tmp_path / "saved")), "ds@loaded": source}
    nodes = [node(str.upper, "text", "ds@saved", name="make"), node(str.lower, "ds@loaded", "low", name="low")]
    assert warm_runner.run(pipeline(nodes), DataCatalog(entries))["low"].load() == "wool"
    assert all(len((tmp_path / name / "released").read_text().split()) == 1 for name in ("saved", "loaded"))


@pytest.mark.parametrize("catalog_class", ["DataCatalog", "SharedMemoryDataCatalog"])
def test_shared_memory_datasets_are_memory_datasets(knots, warm_runner, catalog_class):
    """Entries and catalogs for Kedro's own parallel runner work as they are: declared, implicit, and as a result."""
    from kedro.io import MemoryDataset, SharedMemoryDataset, data_catalog
    from kedro.pipeline import node, pipeline

    catalog = getattr(data_catalog, catalog_class)(
        {"a": MemoryDataset(1), "b": SharedMemoryDataset(), "d": SharedMemoryDataset()}
    )
    nodes = [node(knots.times_two, name, output) for name, output in zip("abcd", "bcde", strict=True)]
    outputs = warm_runner.run(pipeline(nodes), catalog)
    assert outputs["e"].load() == 16
    catalog = getattr(data_catalog, catalog_class)({"a": MemoryDataset(1), "d": SharedMemoryDataset()})
    assert warm_runner.run(pipeline(nodes[:3]), catalog)["d"].load() == 8
