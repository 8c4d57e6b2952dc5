from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from treadle.errors import DatasetError
from treadle.io import Catalog, MemoryDataset
from treadle.io.dataset import Capabilities, capabilities_of
from treadle.io.datasets.cached import CachedDataset
from treadle.io.datasets.json import JSONDataset

ENTRY = {"type": "CachedDataset", "dataset": {"type": "json.JSONDataset", "filepath": "x.json"}}


def test_loads_once(tmp_path):
    """The place is read at the first load only, and what is handed out is isolated."""
    file = tmp_path / "x.json"
    file.write_text("[1]")
    catalog = Catalog.from_config({"x": ENTRY}, project_path=tmp_path)
    catalog.load("x").append(2)
    file.write_text("[9]")
    assert catalog.load("x") == [1]


def test_save_goes_through_and_is_kept(tmp_path):
    """Saving writes the place and fills the cache; releasing empties the cache and leaves the place."""
    dataset = CachedDataset(JSONDataset(tmp_path / "x.json"))
    dataset.save([1])
    (tmp_path / "x.json").write_text("[2]")
    assert dataset.load() == [1]
    dataset.release()
    assert dataset.load() == [2]


def test_a_failed_save_leaves_no_old_value(tmp_path):
    """After a save that failed, the value of before is not handed out as if it were the new one."""
    dataset = CachedDataset(JSONDataset(tmp_path / "x.json"))
    dataset.save([1])
    with pytest.raises(TypeError):
        dataset.save(object())
    assert dataset.describe()["cached"] is False
    assert dataset.load() == [1]


def test_the_cache_does_not_travel(tmp_path):
    """A pickled dataset arrives without its value: each process has a cache of its own."""
    dataset = CachedDataset(JSONDataset(tmp_path / "x.json"), metadata={"owner": "us"})
    dataset.save([1])
    (tmp_path / "x.json").write_text("[2]")
    arrived = pickle.loads(pickle.dumps(dataset))
    assert arrived.load() == [2]
    assert arrived.metadata == {"owner": "us"}


def test_capabilities_are_those_within(tmp_path):
    """It lives where the dataset within lives, whether it is asked as a recipe or as an object."""
    assert capabilities_of(CachedDataset(MemoryDataset(1))) == Capabilities(in_memory=True)
    assert capabilities_of(CachedDataset(JSONDataset(tmp_path / "x.json"))) == Capabilities()
    catalog = Catalog.from_config(
        {
            "file": ENTRY,
            "memory": {"type": "CachedDataset", "dataset": {"type": "MemoryDataset"}},
            "here": {"type": "CachedDataset", "dataset": {"type": "json.JSONDataset", "filepath": "memory://x.json"}},
        }
    )
    assert catalog.capabilities("file") == Capabilities()
    assert catalog.capabilities("memory") == Capabilities(in_memory=True)
    assert catalog.capabilities("here") == Capabilities(main_process_only=True)


def test_versions_and_credentials_are_those_within(tmp_path):
    """`versioned: true` stands at either place, and paths are made absolute within."""
    outer = {**ENTRY, "versioned": True}
    inner = {"type": "CachedDataset", "dataset": {**ENTRY["dataset"], "versioned": True}}
    for entry in (outer, inner):
        catalog = Catalog.from_config({"x": entry}, project_path=tmp_path, save_version="v1")
        catalog.save("x", [1])
        assert catalog.versions("x") == ["v1"]
        assert Path(tmp_path / "x.json" / "v1" / "x.json").exists()


def test_wrong_entry_is_one_sentence():
    """A cached dataset without a dataset within, or with a wrong one, is an error that names the dataset."""
    with pytest.raises(DatasetError, match=r"'x'.*dataset"):
        Catalog.from_config({"x": {"type": "CachedDataset"}}).capabilities("x")
    with pytest.raises(DatasetError, match=r"'x' has an unknown type 'json.JSNDataset'"):
        Catalog.from_config({"x": {"type": "CachedDataset", "dataset": "json.JSNDataset"}}).capabilities("x")


def test_what_is_appended_is_loaded_whole(tmp_path):
    """A part that was saved last is not taken for the whole."""
    cached = CachedDataset({"type": "text.TextDataset", "filepath": str(tmp_path / "x.txt"), "save_args": {"mode": "a"}})
    cached.save("a")
    assert cached.load() == "a"
    cached.save("b")
    assert cached.load() == "ab"
    with cached.appending() as save:
        save("c")
        save("d")
    assert cached.load() == "abcd"


def test_partitions_are_loaded_as_the_folder_has_them(tmp_path):
    """Those of before and those of all chunks, as functions that load them; not the mapping that was saved last."""
    entry = {
        "type": "CachedDataset",
        "dataset": {"type": "partitions.PartitionedDataset", "path": "p", "dataset": "text.TextDataset"},
    }
    catalog = Catalog.from_config({"parts": entry}, project_path=tmp_path)
    catalog.save("parts", {"1": "a"})
    assert {name: load() for name, load in catalog.load("parts").items()} == {"1": "a"}
    with catalog.appending("parts") as save:
        save({"2": "b"})
        save({"3": "c"})
        assert sorted(each.name for each in (tmp_path / "p").iterdir() if not each.name.startswith(".")) == ["1"]
    assert {name: load() for name, load in catalog.load("parts").items()} == {"1": "a", "2": "b", "3": "c"}


def test_a_process_that_has_loaded_nothing_confirms_what_its_own_run_has_loaded(tmp_path):
    """Each process of a run has its own object; another run has loaded more meanwhile."""
    parts = {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "text.TextDataset"}
    new = {"type": "CachedDataset", "dataset": {**parts, "type": "partitions.IncrementalDataset"}}
    catalog = Catalog.from_config({"parts": parts, "new": new}, project_path=tmp_path)
    catalog.save("parts", {"1": "a"})
    one, other = ([catalog.for_run(run, ["new"], ["new"], confirmed=["new"]) for _ in range(2)] for run in ("run-1", "run-2"))
    assert one[0].load("new") == {"1": "a"}
    catalog.save("parts", {"2": "b"})
    assert other[0].load("new") == {"1": "a", "2": "b"}
    one[1].confirm("new")
    assert (tmp_path / "parts" / "CHECKPOINT").read_text() == "1"
    other[1].confirm("new")
    assert (tmp_path / "parts" / "CHECKPOINT").read_text() == "2"
