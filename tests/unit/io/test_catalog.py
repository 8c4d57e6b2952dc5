from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from treadle.errors import DatasetError, UnknownDatasetError
from treadle.io import Catalog, Dataset, MemoryDataset
from treadle.io.dataset import Capabilities

TEXT = {"type": "text.TextDataset", "filepath": "note.txt"}


class Counted(Dataset):
    """Counts how often it is built."""

    built = 0

    def __init__(self):
        type(self).built += 1

    def load(self):
        return 1

    def save(self, data):
        msg = "disk on fire"
        raise RuntimeError(msg)


class Bound(Counted):
    main_process_only = True


class LoadAndSaveOnly:
    """A dataset of somebody's, with nothing but the two methods."""

    def load(self):
        return 1

    def save(self, data):
        self.data = data


def test_plain_values_become_memory_datasets():
    """A value is kept in memory; a dataset stays what it is."""
    dataset = Counted()
    catalog = Catalog({"value": [1], "dataset": dataset, "none": None})
    assert isinstance(catalog["value"], MemoryDataset)
    assert catalog["dataset"] is dataset
    assert catalog.load("value") == [1]
    assert catalog.load("none") is None


def test_save_and_load_a_file(tmp_path):
    """A dataset from configuration saves and loads, its path relative to the project."""
    catalog = Catalog.from_config({"note": TEXT}, project_path=tmp_path)
    assert not catalog.exists("note")
    catalog.save("note", "hello")
    assert catalog.exists("note")
    assert catalog.load("note") == "hello"
    assert (tmp_path / "note.txt").read_text() == "hello"


def test_recipes_stay_recipes():
    """Nothing that asks about a dataset builds it; its first use does, once."""
    Counted.built = 0
    catalog = Catalog.from_config({"counted": {"type": Counted}})
    assert "counted" in catalog
    assert catalog.capabilities("counted") == Capabilities()
    assert catalog.is_recipe("counted")
    catalog.subset(["counted"])
    catalog.release("counted")
    assert Counted.built == 0
    catalog.load("counted")
    catalog.load("counted")
    assert Counted.built == 1
    assert catalog.is_recipe("counted")


def test_threads_build_a_dataset_once():
    """Threads that ask for a dataset at once get the same one."""
    Counted.built = 0
    catalog = Catalog.from_config({"counted": {"type": Counted}})
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return catalog["counted"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert Counted.built == 1
    assert all(dataset is found[0] for dataset in found)


@pytest.mark.parametrize("data", [None])
def test_none_cannot_be_saved(data):
    """Saving None is an error that names the dataset, whatever its type."""
    catalog = Catalog.from_config({"note": TEXT})
    catalog["memory"] = MemoryDataset()
    for name in ("note", "memory"):
        with pytest.raises(DatasetError, match=f"'{name}' cannot save None.*return statement") as caught:
            catalog.save(name, data)
        assert caught.value.dataset == name


def test_unknown_names():
    """A name that is not there is an error with close matches, for every way to use it."""
    catalog = Catalog({"planes": 1, "plan": 2})
    catalog.add_parameters({"model": {"rate": 1}})
    for use in (catalog.load, catalog.__getitem__, catalog.capabilities, catalog.release, catalog.confirm):
        with pytest.raises(UnknownDatasetError, match=r"no dataset 'plane' in the catalog. Did you mean 'planes'") as caught:
            use("plane")
        assert caught.value.dataset == "plane"
        assert caught.value.close[0] == "planes"
    with pytest.raises(UnknownDatasetError, match=r"'params:model.rat'.*'params:model.rate'.*parameters file"):
        catalog.load("params:model.rat")
    assert not catalog.exists("plane")
    assert catalog.get("plane") is None
    assert "plane" not in catalog
    assert 5 not in catalog


def test_load_errors_name_the_dataset(tmp_path):
    """A load that fails names dataset, type, path and probable cause, and keeps the original."""
    catalog = Catalog.from_config({"note": TEXT}, project_path=tmp_path)
    with pytest.raises(DatasetError) as caught:
        catalog.load("note")
    message = str(caught.value)
    assert "Could not load dataset 'note' (TextDataset at" in message
    assert str(tmp_path / "note.txt") in message
    assert "run the node that saves it first" in message
    assert caught.value.dataset == "note"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_save_errors_name_the_dataset():
    """A save that fails names the dataset and keeps the original."""
    with pytest.raises(DatasetError, match=r"Could not save dataset 'c' \(Counted\). RuntimeError: disk on fire") as caught:
        Catalog({"c": Counted()}).save("c", 1)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_errors_of_datasets_get_the_name():
    """An error that a dataset raises without knowing its name gets it."""
    with pytest.raises(DatasetError, match=r"'empty'.*memory dataset has no value") as caught:
        Catalog({"empty": MemoryDataset()}).load("empty")
    assert caught.value.dataset == "empty"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("text", "must be a mapping"),
        ({"typ": "x"}, "no `type`.*has the key 'typ'. Did you mean 'type'"),
        ({}, "has no `type`"),
    ],
)
def test_malformed_entries(entry, text):
    """An entry that is no mapping, or has no type, is an error that names it."""
    with pytest.raises(DatasetError, match=f"(?s)'planes'.*{text}"):
        Catalog.from_config({"planes": entry})


def test_anchors_are_passed_over():
    """Names that begin with an underscore are anchors of YAML, not datasets."""
    assert list(Catalog.from_config({"_csv": "anything", "note": TEXT})) == ["note"]


def test_parameters():
    """Parameters are datasets in memory, as a whole and one by one, that nobody can change by loading."""
    catalog = Catalog()
    catalog.add_parameters({"model": {"a": [1], "none": None}})
    assert catalog.capabilities("params:model.a") == Capabilities(in_memory=True)
    catalog.load("params:model")["a"].append(2)
    catalog.load("parameters")["model"]["a"].append(2)
    assert catalog.load("params:model.a") == [1]
    assert catalog.load("params:model.none") is None
    assert catalog.exists("params:model.none")
    catalog.release("params:model.a")
    assert catalog.load("params:model.a") == [1]
    assert not catalog.is_recipe("params:model.a")


def test_parameters_are_replaced():
    """Parameters added anew take the place of all those before, used or not."""
    catalog = Catalog()
    catalog.add_parameters({"a": 1, "b": 1})
    assert catalog.load("params:a") == 1
    catalog.add_parameters({"a": 2})
    assert catalog.load("params:a") == 2
    assert "params:b" not in catalog


def test_parameters_can_be_overridden():
    """A dataset put in under a parameter's name is used in its place."""
    catalog = Catalog()
    catalog.add_parameters({"a": 1})
    catalog["params:a"] = 5
    assert catalog.load("params:a") == 5


def test_names():
    """Iteration, keys, items, values, length and list agree, declared datasets first, parameters last."""
    catalog = Catalog.from_config({"note": TEXT})
    catalog["value"] = 1
    catalog.add_parameters({"m": {"x": 1}})
    catalog.load("params:m.x")
    names = ["note", "value", "parameters", "params:m", "params:m.x"]
    assert list(catalog) == list(catalog.keys()) == catalog.list() == catalog._ipython_key_completions_() == names
    assert dict(catalog.items()) == dict(zip(names, catalog.values(), strict=True)) == {name: catalog[name] for name in names}
    assert len(catalog) == 5
    assert catalog.list("^NOT|x$") == ["note", "params:m.x"]
    with pytest.raises(DatasetError, match="not a valid regular expression"):
        catalog.list("(")


def test_setting_replaces_a_recipe():
    """A dataset put in takes the place of what configuration declared."""
    catalog = Catalog.from_config({"note": TEXT})
    catalog["note"] = "in memory"
    assert catalog.load("note") == "in memory"
    assert catalog.recipe("note") is None
    with pytest.raises(DatasetError, match="must be a non-empty string"):
        catalog[""] = 1


def test_confirm_and_release_reach_the_dataset():
    """Confirm and release call the dataset; one that cannot be confirmed is an error."""
    calls = []

    class Fed(Counted):
        def confirm(self):
            calls.append("confirm")

        def release(self):
            calls.append("release")

    catalog = Catalog({"fed": Fed()})
    catalog.confirm("fed")
    catalog.release("fed")
    assert calls == ["confirm", "release"]
    catalog = Catalog.from_config({"bare": {"type": LoadAndSaveOnly}})
    catalog.load("bare")
    catalog.release("bare")
    assert not catalog.exists("bare")
    with pytest.raises(DatasetError, match=r"'bare'.*cannot be confirmed"):
        catalog.confirm("bare")


def test_subset_holds_what_a_worker_needs(tmp_path):
    """Recipes stay recipes even when built; values, parameters, bound datasets and unknown names are left out."""
    catalog = Catalog.from_config(
        {"note": TEXT, "other": TEXT, "bound": {"type": Bound}}, project_path=tmp_path, save_version="v1"
    )
    counted = Counted()
    catalog["object"] = counted
    catalog["value"] = 1
    catalog.add_parameters({"a": 1})
    catalog.save("note", "built here")
    part = catalog.subset(["note", "object", "value", "params:a", "bound", "unknown", "note"])
    assert [recipe.name for recipe in part.recipes] == ["note"]
    assert part.objects == (("object", counted),)
    assert part.save_version == "v1"


def test_a_part_makes_a_catalog_of_the_same_class(tmp_path):
    """The part pickles, and a project's own catalog class makes its worker's catalog from it."""

    class Own(Catalog):
        pass

    catalog = Own.from_config({"note": TEXT}, project_path=tmp_path, save_version="v1")
    catalog.save("note", "hello")
    part = pickle.loads(pickle.dumps(catalog.subset(["note"])))
    there = type(catalog).from_part(part)
    assert type(there) is Own
    assert there.load("note") == "hello"
    assert there.save_version == "v1"
    assert there.is_recipe("note")


def test_only_the_credentials_named_travel():
    """A recipe holds the credentials its entry names, and no others."""
    entry = {**TEXT, "credentials": "mine"}
    part = Catalog.from_config({"note": entry}, {"mine": {"key": 1}, "theirs": {"key": 2}}).subset(["note"])
    assert part.recipes[0].credentials == {"mine": {"key": 1}}


def test_factories():
    """A name that fits a pattern is in the catalog, becomes a recipe, and is listed once it was used."""
    catalog = Catalog.from_config({"{name}_txt": {"type": "text.TextDataset", "filepath": "{name}.txt"}}, project_path="/p")
    catalog.add_parameters({"a": 1})
    assert catalog.patterns() == ("{name}_txt",)
    assert list(catalog) == ["parameters", "params:a"]
    assert "day_txt" in catalog
    assert "params:b_txt" not in catalog
    assert catalog["day_txt"].describe() == {"filepath": "/p/day.txt"}
    assert [recipe.name for recipe in catalog.subset(["day_txt"]).recipes] == ["day_txt"]
    assert "day_txt" in list(catalog)


def test_load_versions():
    """A load version reaches its recipe, through a pattern, too; one for an unknown dataset is an error."""
    entry = {**TEXT, "versioned": True}
    catalog = Catalog.from_config({"note": entry, "{x}_v": entry}, load_versions={"note": "v1", "a_v": "v2"}, save_version="s")
    assert (catalog.recipe("note").load_version, catalog.recipe("note").save_version) == ("v1", "s")
    assert catalog.recipe("a_v").load_version == "v2"
    with pytest.raises(UnknownDatasetError, match=r"'nots'.*Did you mean 'note'"):
        Catalog.from_config({"note": entry}, load_versions={"nots": "v1"})


def test_a_save_version_is_made():
    """A catalog from configuration always has a save version; one from code has none."""
    assert Catalog.from_config({}).save_version.endswith("Z")
    assert Catalog().save_version is None


def test_importing_is_cheap():
    """The catalog imports no heavy library, nor does a catalog from configuration."""
    code = (
        "import sys; from treadle.io import Catalog; "
        "Catalog.from_config({'a': {'type': 'pandas.CSVDataset', 'filepath': 'x'}}).capabilities('a'); "
        "sys.exit(str({'pandas', 'numpy', 'fsspec', 'yaml', 'omegaconf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


def test_large_catalogs_build_nothing():
    """Thousands of entries and parameters are recipes and one mapping, and no dataset is built for them."""
    catalog = Catalog.from_config({f"d{number}": TEXT for number in range(2000)})
    catalog.add_parameters({f"p{number}": {"x": number} for number in range(2500)})
    assert all(f"d{number}" in catalog for number in range(2000))
    assert "params:p2499.x" in catalog
    assert not catalog._datasets
    assert len(catalog) == 2000 + 5000 + 1


@pytest.mark.parametrize(("name", "written"), [(2020, '"2020"'), (True, '"true"'), (None, '"null"'), (1.5, '"1.5"')])
def test_a_name_that_yaml_reads_as_something_else(name, written):
    """A name that is no text is an error that says how to write it."""
    with pytest.raises(DatasetError, match="write it in quotes: " + written):
        Catalog.from_config({name: {"type": "MemoryDataset"}})


@pytest.mark.parametrize("versioned", ["flase", "no", "false", 0, 1, [], {}])
@pytest.mark.parametrize("inner", [False, True])
def test_versioned_is_true_or_false(versioned, inner):
    """Anything but true, false and nothing under `versioned` is an error, also in an entry within an entry."""
    entry = {"type": "text.TextDataset", "filepath": "x", "versioned": versioned}
    with pytest.raises(DatasetError, match=r"'words' has `versioned: .*Write true or false"):
        Catalog.from_config({"words": {"type": "CachedDataset", "dataset": entry} if inner else entry})
    Catalog.from_config({"words": {**entry, "versioned": None}})
