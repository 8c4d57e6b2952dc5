from __future__ import annotations

import json

import pytest

from treadle.errors import DatasetError, UnknownDatasetError
from treadle.io import Catalog, Dataset, MemoryDataset
from treadle.io.datasets.cached import CachedDataset
from treadle.io.datasets.file import FileDataset
from treadle.io.datasets.json import JSONDataset
from treadle.io.datasets.partitioned import PartitionedDataset
from treadle.io.datasets.pickle import PickleDataset

CONFIG = {
    "orders": {"type": "json.JSONDataset", "filepath": "data/orders.json", "metadata": {"owner": "sales"}, "versioned": True},
    "note": {"type": "treadle.io.datasets.text.TextDataset", "filepath": "data/note.txt", "credentials": "door"},
    "kept": {"type": "MemoryDataset", "copy_mode": "assign"},
    "{name}_text": {"type": "text.TextDataset", "filepath": "data/{name}.txt", "credentials": "{name}_key"},
}
CREDENTIALS = {"door": {"key": "secret"}, "a_key": {"key": "other"}, "unused": 1}


class Counter(Dataset):
    """No configuration makes this one."""

    def load(self):
        return 1

    def save(self, data):
        return


@pytest.fixture
def catalog(tmp_path):
    """A catalog from configuration, with an object and params beside."""
    made = Catalog.from_config(CONFIG, CREDENTIALS, project_path=tmp_path, load_versions={"orders": "v1"}, save_version="v2")
    made["handed"] = MemoryDataset(1)
    made.add_parameters({"depth": 1})
    return made


def test_filter_by_name_and_type(catalog, tmp_path):
    """Datasets are found by name and by type, however the type is written; nothing is built for it."""
    assert catalog.filter() == catalog.list()
    assert catalog.filter("O") == ["orders", "note"]
    assert catalog.filter(type="text.TextDataset") == ["note"]
    assert catalog.filter(type="TextDataset") == catalog.filter(type="treadle.io.datasets.text.TextDataset") == ["note"]
    assert catalog.filter("^o", FileDataset) == ["orders"]
    assert catalog.filter("^[^p]", MemoryDataset) == ["kept", "handed"]
    assert catalog.filter(type="MemoryDataset", name="^[^p]") == ["kept", "handed"]
    assert catalog.filter(type="nothing.Such") == []
    assert "orders" not in catalog._datasets


def test_versions(tmp_path):
    """Versions are listed with the newest first; a dataset without any says so."""
    for version in ("v1", "v3", "v2"):
        catalog = Catalog.from_config({"x": {**CONFIG["orders"]}}, project_path=tmp_path, save_version=version)
        assert version not in catalog.versions("x")
        catalog.save("x", [version])
    assert catalog.versions("x") == catalog["x"].list_versions() == ["v3", "v2", "v1"]
    assert Catalog.from_config({"kept": CONFIG["kept"]})["kept"].list_versions() == []
    with pytest.raises(DatasetError, match=r"'kept'.*is not versioned"):
        Catalog.from_config({"kept": CONFIG["kept"]}).versions("kept")
    with pytest.raises(UnknownDatasetError):
        catalog.versions("y")


def test_pinned_versions(tmp_path):
    """What is pinned loads the version that was the newest then; what was asked for, has no version or none yet, stays."""
    entry = {"type": "text.TextDataset", "filepath": "data/note.txt", "versioned": True}
    config = {
        "note": entry,
        "asked": {**entry, "filepath": "data/asked.txt"},
        "none": {**entry, "filepath": "data/none.txt"},
        "cached": {"type": "CachedDataset", "dataset": entry},
        "{name}_note": {**entry, "filepath": "data/{name}.txt"},
        "plain": {"type": "text.TextDataset", "filepath": "data/plain.txt"},
    }
    for version in ("v1", "v2"):
        catalog = Catalog.from_config(config, project_path=tmp_path, save_version=version)
        for name in ("note", "asked", "my_note"):
            catalog.save(name, version)
    catalog = Catalog.from_config(config, project_path=tmp_path, load_versions={"asked": "v1"}, save_version="v4")
    catalog["handed"] = 1
    names = ["note", "asked", "none", "cached", "my_note", "plain", "handed", "params:x"]
    assert catalog.pin_versions(names) == {"note": "v2", "cached": "v2", "my_note": "v2"}
    Catalog.from_config(config, project_path=tmp_path, save_version="v3").save("note", "v3")
    worker = Catalog.from_part(catalog.subset(["note", "cached", "my_note"]))
    for each in (catalog, worker):
        assert [each.load(name) for name in ("note", "cached", "my_note")] == ["v2", "v2", "v2"]
    assert catalog.load("asked") == "v1"
    broken = Catalog.from_config({"x": {**entry, "filepath": "nowhere://x"}})
    assert broken.pin_versions(["x"]) == {}


def test_a_catalog_for_each_run(tmp_path):
    """Each run saves its own version, whole, and loads what was the newest when it began; the catalog stays as it was."""
    entry = {"type": "text.TextDataset", "filepath": "data/{name}.txt", "versioned": True}
    config = {"{name}_note": entry, "plain": {"type": "MemoryDataset"}}
    catalog = Catalog.from_config(config, project_path=tmp_path)
    names, inputs = {"made_note", "read_note", "plain", "nowhere"}, {"read_note"}
    for run in ("run-1", "run-2"):
        Catalog.from_config(config, project_path=tmp_path, save_version=run).save("read_note", f"before {run}")
        mine = catalog.for_run(run, names, inputs)
        Catalog.from_config(config, project_path=tmp_path, save_version=f"{run}-later").save("read_note", "later")
        worker = Catalog.from_part(mine.subset(names))
        worker.save("made_note", run)
        for each in (mine, worker):
            assert (each.load("made_note"), each.load("read_note")) == (run, f"before {run}")
        assert mine["plain"] is catalog["plain"]
    assert catalog.versions("made_note") == ["run-2", "run-1"]
    assert catalog.load("read_note") == "later"
    given = Catalog.from_config(config, project_path=tmp_path, save_version="mine")
    assert given.for_run("run-3", {"made_note", "plain"}, set()) is given
    given.for_run("run-3", names, inputs).save("made_note", "x")
    assert given.versions("made_note")[-1] == "mine"
    broken = Catalog.from_config({"x": {**entry, "filepath": "nowhere://x"}})
    with pytest.raises(DatasetError, match="nowhere"):
        broken.for_run("run-4", {"x"}, {"x"}).load("x")


def test_metadata(catalog):
    """Metadata of any entry can be asked for, and stands on the dataset, whether its class knows of it or not."""
    config = {"own": {"type": f"{Counter.__module__}.Counter", "metadata": {"owner": "us"}}}
    assert catalog.metadata("orders") == {"owner": "sales"}
    assert catalog["orders"].metadata == {"owner": "sales"}
    assert catalog.metadata("kept") is None
    entry = {**config["own"], "type": Counter}
    own = Catalog.from_config({"own": entry})
    assert own.metadata("own") == own["own"].metadata == {"owner": "us"}


def test_round_trip(catalog, tmp_path):
    """`to_config` gives plain data from which an equal catalog is made: entries, patterns, credentials, versions."""
    catalog.recipe("a_text")  # resolved meanwhile: its pattern stands for it
    config = catalog.to_config()
    assert json.loads(json.dumps(config.catalog)) == CONFIG
    assert config.load_versions == {"orders": "v1"}
    assert config.save_version == "v2"
    again = Catalog.from_config(**config._asdict())
    assert again.to_config() == config
    for name in ("orders", "note", "a_text", "kept"):
        assert again.recipe(name) == catalog.recipe(name)


def test_round_trip_of_objects(tmp_path):
    """Our datasets that code handed in describe themselves; what cannot is an error that names it."""
    catalog = Catalog(
        {
            "file": PickleDataset(tmp_path / "x.pkl", backend="cloudpickle", metadata={"a": 1}),
            "cached": CachedDataset(JSONDataset(tmp_path / "x.json", save_args={"indent": 4}), copy_mode="assign"),
            "parts": PartitionedDataset(tmp_path / "parts", "json.JSONDataset", filename_suffix=".json", overwrite=True),
            "value": 5,
        }
    )
    config = json.loads(json.dumps(catalog.to_config().catalog))
    assert set(config) == {"file", "cached", "parts"}
    again = Catalog.from_config(config)
    again.save("file", {1})
    again.save("cached", [1])
    again.save("parts", {"p": 1})
    assert catalog.load("file") == {1}
    assert catalog.load("cached") == [1]
    assert (tmp_path / "x.json").read_text() == "[\n    1\n]\n"
    assert catalog.load("parts")["p"]() == 1
    catalog["own"] = Counter()
    with pytest.raises(DatasetError, match=r"'own' \(Counter\).*entry\(\)"):
        catalog.to_config()
    with pytest.raises(DatasetError, match="credentials"):
        Catalog({"x": JSONDataset("s3://x", credentials={"key": 1})}).to_config()


def test_with_data_shares_the_rest(catalog, tmp_path):
    """A copy with data has its own values, and the very datasets of the first one for all else."""
    copied = catalog.with_data({"orders": [1], "params:depth": 9, "new": None})
    assert copied.load("orders") == [1]
    assert copied.load("params:depth") == 9
    assert copied.load("new") is None
    assert copied["kept"] is catalog["kept"]
    assert "new" not in catalog
    assert catalog.load("params:depth") == 1
    assert type(catalog["orders"]) is JSONDataset
    assert copied.save_version == "v2"
