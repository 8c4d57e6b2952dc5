from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from treadle.errors import DatasetError
from treadle.io import Catalog
from treadle.io.dataset import Capabilities, Dataset
from treadle.io.paths import absolute_path
from treadle.io.recipe import DatasetRecipe


class Table(Dataset):
    main_process_only = True

    def __init__(self, filepath, *, credentials=None, table=None, version=None):
        self.filepath = filepath
        self.credentials = credentials
        self.table = table
        self.version = version

    def load(self):
        return self.table

    def save(self, data):
        self.table = data


class Anything(Dataset):
    def __init__(self, **arguments):
        self.arguments = arguments

    def load(self):
        return self.arguments

    def save(self, data):
        self.arguments = data


class Failing(Table):
    def __init__(self):
        msg = "no connection"
        raise ConnectionError(msg)


def recipe(config, **more):
    return DatasetRecipe("planes", config, **more)


def test_builds_with_arguments(tmp_path):
    """All keys but the type are arguments, and a relative path starts from the project."""
    built = recipe({"type": Table, "filepath": "data/x.csv", "table": 1}, project_path=str(tmp_path)).build()
    assert built.filepath == str(tmp_path / "data" / "x.csv")
    assert built.table == 1


def test_paths_of_a_dataset_within_start_from_the_project():
    """The path of a dataset inside another one's entry is made absolute, too."""
    built = recipe({"type": Anything, "dataset": {"type": "x", "filepath": "a.csv"}}, project_path="/p").build()
    assert built.arguments["dataset"]["filepath"] == str(Path("/p/a.csv"))


def test_building_leaves_the_config_alone():
    """What a dataset does with its arguments does not reach the recipe."""
    made = recipe({"type": Anything, "items": [1]})
    made.build().arguments["items"].append(2)
    assert made.build().arguments == {"items": [1]}


def test_credentials_are_put_in_at_any_depth():
    """Credentials stand in the entry by name, and reach the dataset by value."""
    config = {"type": Anything, "credentials": "store", "dataset": {"credentials": "store", "type": "x"}}
    built = recipe(config, credentials={"store": {"key": "secret"}}).build()
    assert built.arguments == {"credentials": {"key": "secret"}, "dataset": {"credentials": {"key": "secret"}, "type": "x"}}


@pytest.mark.parametrize("ask", [DatasetRecipe.build, DatasetRecipe.capabilities])
def test_missing_credentials(ask):
    """Credentials that nobody gave are an error that names them, when building and already when planning."""
    with pytest.raises(DatasetError, match=r"'planes' refers to the credentials 'store'.*credentials\.yml") as caught:
        ask(recipe({"type": Table, "filepath": "x", "credentials": "store"}))
    assert caught.value.dataset == "planes"


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], 5])
def test_credentials_that_are_no_mapping(value):
    """They are known before the run, and not shown."""
    made = recipe({"type": "text.TextDataset", "filepath": "x", "credentials": "store"}, credentials={"store": value})
    with pytest.raises(
        DatasetError, match=rf"credentials 'store', which are of type {type(value).__name__} and not a mapping"
    ) as caught:
        made.capabilities()
    assert "hunter2" not in str(caught.value)


def test_a_constructor_that_repeats_its_credentials():
    """Neither the error nor its cause, which tracebacks show, has them."""

    class Strict(Anything):
        def __init__(self, **arguments):
            raise ValueError(f"{arguments['credentials']['key']} is too short")

    catalog = Catalog.from_config({"x": {"type": Strict, "credentials": "me"}}, {"me": {"key": "hunter2-hunter2"}})
    with pytest.raises(DatasetError) as caught:
        catalog.load("x")
    assert str(caught.value.__cause__) == "*** is too short"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_an_entry_that_is_no_mapping_is_shown_without_its_secrets():
    """It may be a URL: of what, the error says."""
    with pytest.raises(DatasetError, match=r"'x' must be a mapping with a `type`, not 'sqlite://me:\*\*\*@host'"):
        Catalog.from_config({"x": "sqlite://me:hunter2@host"})


def test_repr_hides_credentials():
    """Neither credentials by name nor inline ones are shown."""
    made = recipe({"type": "text.TextDataset", "filepath": "x", "credentials": {"key": "hush"}}, credentials={"a": "secret"})
    assert repr(made) == "DatasetRecipe('planes', type='text.TextDataset', filepath='x')"


def test_pickles():
    """A recipe survives plain pickle, and is equal afterwards."""
    made = recipe({"type": "text.TextDataset", "filepath": "x"}, credentials={"a": 1}, save_version="v")
    assert pickle.loads(pickle.dumps(made)) == made


def test_misspelt_argument():
    """An argument that the class lacks is an error that names it and the likely one."""
    with pytest.raises(DatasetError, match=r"'planes'.*has no argument 'filepth'. Did you mean 'filepath'\?"):
        recipe({"type": Table, "filepth": "x"}).build()


def test_a_constructor_that_fails():
    """Whatever a class raises is the cause of an error that names the dataset and its type."""
    with pytest.raises(DatasetError, match=r"'planes'.*cannot be built: ConnectionError: no connection") as caught:
        recipe({"type": Failing}).build()
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_type_that_is_no_dataset():
    """A class without load and save is refused."""
    with pytest.raises(DatasetError, match="is not a dataset class"):
        recipe({"type": "pathlib.PurePosixPath"}).build()


def test_metadata_is_dropped_where_unknown():
    """Metadata may stand in any entry: a class that does not take it does not get it."""
    assert recipe({"type": Table, "filepath": "x", "metadata": {"owner": "me"}}).build().filepath == str(Path("x").absolute())


def test_versions_are_handed_on():
    """A versioned entry gets its versions; a load version without `versioned: true` is an error."""
    built = recipe({"type": Table, "filepath": "x", "versioned": True}, load_version="l", save_version="s").build()
    assert built.version == ("l", "s")
    with pytest.raises(DatasetError, match="not versioned"):
        recipe({"type": Table, "filepath": "x"}, load_version="l").build()


def test_a_type_without_versions():
    """`versioned: true` on a type that has none is an error."""
    with pytest.raises(DatasetError, match="has no versions"):
        recipe({"type": "MemoryDataset", "versioned": True}).build()


def test_capabilities_of_ours_import_no_library():
    """The capabilities of our own types are known without importing what they need to load and save."""
    script = """
import sys
import traceback
from treadle.io.dataset import Capabilities
from treadle.io.recipe import DatasetRecipe
for kind in ("pandas.CSVDataset", "pandas.ExcelDataset", "text.TextDataset", "yaml.YAMLDataset"):
    assert DatasetRecipe("x", {"type": kind, "filepath": "x"}).capabilities() == Capabilities()
assert DatasetRecipe("x", {"type": "MemoryDataset"}).capabilities() == Capabilities(in_memory=True)
assert {"pandas", "fsspec", "yaml", "openpyxl", "pyarrow"}.isdisjoint(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


def test_capabilities_of_others():
    """Those of other types are what the class declares."""
    assert recipe({"type": Table, "filepath": "x"}).capabilities() == Capabilities(main_process_only=True)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"type": "text.TextDataset", "filepth": "x"}, "'filepth'. Did you mean 'filepath'"),
        ({"type": "text.TextDataset"}, "missing a required argument: 'filepath'"),
        ({"type": "MemoryDataset", "versioned": True}, "has no versions"),
    ],
)
def test_what_a_class_does_not_take_is_known_before_it_is_built(config, said):
    """An entry that could never be built is refused when capabilities are asked for, which a plan does before the run."""
    with pytest.raises(DatasetError, match=said):
        recipe(config).capabilities()


def test_a_load_version_of_what_has_none_is_known_before_it_is_built():
    """A load version for a dataset without versions is refused as early."""
    with pytest.raises(DatasetError, match="not versioned"):
        DatasetRecipe("x", {"type": "text.TextDataset", "filepath": "x"}, load_version="1").capabilities()


def test_files_in_process_memory_stay_in_their_process():
    """A file under memory:// exists in one process only, and its recipe and dataset say so."""
    made = recipe({"type": "text.TextDataset", "filepath": "memory://x/y.txt"})
    assert made.capabilities() == Capabilities(main_process_only=True)
    assert made.build().main_process_only


@pytest.mark.parametrize("path", ["s3://bucket/key", "/data/x", "C:\\data\\x", "memory://x", 5, None])
def test_absolute_paths_stay(path):
    """Addresses, absolute paths of either kind and what is no path stay as they are."""
    assert absolute_path(path, "/project") == path


@pytest.mark.parametrize("path", [5, None, "", ["a.csv"], {"a": 1}])
def test_what_is_no_path(path):
    """It is known before the run: an empty path would be the project's folder."""
    with pytest.raises(DatasetError, match=r"Dataset 'planes' has no valid 'filepath'"):
        recipe({"type": "text.TextDataset", "filepath": path}).capabilities()


def test_paths_mean_the_same_in_every_process(monkeypatch):
    """A worker on another machine may have another home folder and another working directory."""
    monkeypatch.setenv("HOME", "/home/ada")
    inner = {"type": "text.TextDataset", "filepath": "file://raw/x.csv"}
    made = recipe({"type": "CachedDataset", "dataset": inner}, project_path="/project").portable()
    assert made.config["dataset"]["filepath"] == "file:///project/raw/x.csv"
    assert inner["filepath"] == "file://raw/x.csv"
    home = recipe({"type": "text.TextDataset", "filepath": "~/x.csv"})
    assert home.portable().build().filepath == home.portable().config["filepath"] == "/home/ada/x.csv"
    plain = recipe({"type": "text.TextDataset", "filepath": "s3://bucket/~x.csv"})
    assert plain.portable() is plain


def test_relative_paths_become_absolute():
    """A relative path starts from the project, else from the working directory."""
    assert absolute_path("data/../x", "/project") == str(Path("/project/x"))
    assert absolute_path("file://data/x", "/project") == "file:///project/data/x"
    assert absolute_path(Path("x"), None) == str(Path("x").absolute())
