from __future__ import annotations

import gzip
import json as stdlib_json
import pickle as stdlib_pickle

import fsspec
import numpy as np
import pandas as pd
import pytest

from treadle.errors import DatasetError
from treadle.io import Catalog
from treadle.io.types import KNOWN_TYPES

FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["é", "y"]})
NEST = {"a": [1, {"b": "é"}], "c": None}
CASES = [
    ("text.TextDataset", "x.txt", "é\nb\n"),
    ("json.JSONDataset", "x.json", NEST),
    ("yaml.YAMLDataset", "x.yml", NEST),
    ("pickle.PickleDataset", "x.pkl", {"a": (1, {2})}),
    ("pandas.CSVDataset", "x.csv", FRAME),
    ("pandas.CSVDataset", "x.csv.gz", FRAME),
    ("pandas.CSVDataset", "x.zip", FRAME),
    ("pandas.ParquetDataset", "x.parquet", FRAME),
    ("pandas.ExcelDataset", "x.xlsx", FRAME),
]
NAMES = [name for _, name, _ in CASES]


def equal(left, right):
    if isinstance(right, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right)
        return True
    return left == right


def one(folder, kind, filepath, **more):
    return Catalog.from_config({"x": {"type": kind, "filepath": str(filepath), **more}}, project_path=folder)


def test_every_file_type_is_tried():
    """The cases below cover every dataset of one file there is."""
    in_files = {name for name, known in KNOWN_TYPES.items() if known.in_files}
    assert {kind for kind, _, _ in CASES} == {name for name in in_files if not name.startswith("partitions.")}


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=NAMES)
def test_round_trip_on_disk(tmp_path, kind, name, value):
    """What is saved on disk is loaded equal, twice, and nothing but the file is there."""
    catalog = one(tmp_path, kind, f"data/{name}")
    assert not catalog.exists("x")
    catalog.save("x", value)
    catalog.save("x", value)
    assert catalog.exists("x")
    assert equal(catalog.load("x"), value)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=NAMES)
def test_round_trip_elsewhere(kind, name, value):
    """The same holds on a file system that fsspec reaches."""
    catalog = one(None, kind, f"memory://round/{name}")
    assert not catalog.exists("x")
    catalog.save("x", value)
    assert catalog.exists("x")
    assert equal(catalog.load("x"), value)
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=NAMES)
def test_round_trip_with_versions(tmp_path, kind, name, value):
    """The same holds for versioned files."""
    catalog = one(tmp_path, kind, name, versioned=True)
    catalog.save("x", value)
    assert equal(catalog.load("x"), value)
    assert (tmp_path / name / catalog.save_version / name).is_file()


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=NAMES)
def test_datasets_pickle_after_use(tmp_path, kind, name, value):
    """A dataset that was used already still survives pickle."""
    dataset = one(tmp_path, kind, name)["x"]
    dataset.save(value)
    copied = stdlib_pickle.loads(stdlib_pickle.dumps(dataset))
    assert equal(copied.load(), value)


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=NAMES)
def test_none_is_refused(tmp_path, kind, name, value):
    """No file dataset saves None, or makes a file for it."""
    dataset = one(tmp_path, kind, name)["x"]
    with pytest.raises(DatasetError, match="None cannot be saved"):
        dataset.save(None)
    assert not dataset.exists()


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("text.TextDataset", "x.txt", 5),
        ("json.JSONDataset", "x.json", {"a": {1}}),
        ("yaml.YAMLDataset", "x.yml", np.arange(2)),
        ("pickle.PickleDataset", "x.pkl", lambda: None),
        ("pandas.CSVDataset", "x.csv", [1]),
        ("pandas.ParquetDataset", "x.parquet", pd.DataFrame({"a": [1, "x"]}, dtype=object)),
        ("pandas.ExcelDataset", "x.xlsx", [1]),
    ],
)
def test_a_value_of_the_wrong_type(tmp_path, kind, name, value):
    """A value that cannot be saved is an error that names the dataset, and the old file stays."""
    (tmp_path / name).write_text("old")
    with pytest.raises(DatasetError, match=f"Could not save dataset 'x' .{kind.partition('.')[2]} at .*{name}"):
        one(tmp_path, kind, name).save("x", value)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def test_encoding(tmp_path):
    """Text has the encoding that the arguments ask for; a wrong one is an error that says so."""
    latin = {"encoding": "latin-1"}
    catalog = one(tmp_path, "text.TextDataset", "x.txt", load_args=latin, save_args=latin)
    catalog.save("x", "é")
    assert (tmp_path / "x.txt").read_bytes() == b"\xe9"
    assert catalog.load("x") == "é"
    with pytest.raises(DatasetError, match=r"set `encoding` under `load_args`"):
        one(tmp_path, "text.TextDataset", "x.txt").load("x")


def test_compressed_text(tmp_path):
    """Text is compressed where the arguments ask for it."""
    arguments = {"open_args_load": {"compression": "gzip"}, "open_args_save": {"compression": "gzip", "mode": "w"}}
    catalog = one(tmp_path, "json.JSONDataset", "x.json.gz", fs_args=arguments)
    catalog.save("x", {"a": 1})
    assert stdlib_json.loads(gzip.decompress((tmp_path / "x.json.gz").read_bytes())) == {"a": 1}
    assert catalog.load("x") == {"a": 1}


@pytest.mark.parametrize("more", [{"save_args": {"mode": "a"}}, {"fs_args": {"open_args_save": {"mode": "a"}}}])
def test_appending_is_refused_where_the_parts_make_no_file(tmp_path, more):
    """Only files of lines can be appended to."""
    with pytest.raises(DatasetError, match="cannot append"):
        one(tmp_path, "pickle.PickleDataset", "x.pkl", **more).save("x", 1)


def test_texts_are_appended(tmp_path):
    """One after the other, in the encoding of the file."""
    catalog = one(tmp_path, "text.TextDataset", "x.txt", save_args={"mode": "a"})
    catalog.save("x", "ä\n")
    catalog.save("x", "b\n")
    assert catalog.load("x") == "ä\nb\n"


def test_json_with_a_byte_order_mark(tmp_path):
    """Editors of Windows write one."""
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert one(tmp_path, "json.JSONDataset", "x.json").load("x") == {"a": 1}


def test_buffering_of_a_local_file(tmp_path):
    """`buffering` goes to `open`."""
    opening = {"open_args_load": {"buffering": 1024}, "open_args_save": {"buffering": 1, "mode": "w"}}
    catalog = one(tmp_path, "text.TextDataset", "x.txt", fs_args={**opening, "auto_mkdir": True})
    catalog.save("x", "hello")
    assert catalog.load("x") == "hello"


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("text.TextDataset", {"load_args": {"sep": ";"}}, "'sep'"),
        ("text.TextDataset", {"save_args": {"indent": 2}}, "'indent'"),
        ("text.TextDataset", {"save_args": {"compression": {"method": "gzip"}}}, "must be a name"),
        ("pickle.PickleDataset", {"fs_args": {"open_args_load": {"encoding": "utf-8"}}}, "'encoding'"),
        ("pandas.ParquetDataset", {"fs_args": {"open_args_save": {"newline": ""}}}, "'newline'"),
        ("pandas.ExcelDataset", {"save_args": {"writer": {"mode": "a"}}}, "cannot append"),
        ("json.JSONDataset", {"fs_args": {"project": "x"}}, "project"),
        ("partitions.PartitionedDataset", {"fs_args": {"project": "x"}}, "project"),
    ],
)
def test_arguments_without_an_effect_are_refused(tmp_path, kind, arguments, words):
    """When the dataset is made; none is ignored."""
    place = "path" if "Partitioned" in kind else "filepath"
    more = {"dataset": "text.TextDataset"} if place == "path" else {}
    with pytest.raises(DatasetError, match=words):
        Catalog.from_config({"x": {"type": kind, place: str(tmp_path / "x"), **more, **arguments}})["x"]


def test_unknown_open_arguments(tmp_path):
    """An argument that opening a file does not know is an error that lists those it does."""
    with pytest.raises(DatasetError, match=r"cannot be opened with 'encodng'.*encoding"):
        one(tmp_path, "text.TextDataset", "x.txt", fs_args={"open_args_load": {"encodng": "x"}}).load("x")


def test_library_arguments(tmp_path):
    """Arguments reach pandas; one it lacks is an error that points at them."""
    catalog = one(tmp_path, "pandas.CSVDataset", "x.csv", load_args={"usecols": ["a"], "sep": ";"}, save_args={"sep": ";"})
    catalog.save("x", FRAME)
    assert list(catalog.load("x")) == ["a"]
    with pytest.raises(DatasetError, match=r"'x'.*load_args.*argument that the library does not accept"):
        one(tmp_path, "pandas.CSVDataset", "x.csv", load_args={"nonsense": 1}).load("x")


def test_excel_sheets(tmp_path):
    """Frames by sheet name make a workbook, and all its sheets are loaded as such."""
    catalog = one(tmp_path, "pandas.ExcelDataset", "x.xlsx", load_args={"sheet_name": None})
    catalog.save("x", {"one": FRAME[["a"]], "two": FRAME[["c"]]})
    sheets = catalog.load("x")
    assert list(sheets) == ["one", "two"]
    assert equal(sheets["two"], FRAME[["c"]])


def test_parquet_folders(tmp_path):
    """A folder of Parquet files is loaded as one frame; saving partitions is refused."""
    (tmp_path / "x.parquet").mkdir()
    for number in (0, 1):
        FRAME.iloc[[number]].to_parquet(tmp_path / "x.parquet" / f"{number}.parquet", index=False)
    assert len(one(tmp_path, "pandas.ParquetDataset", "x.parquet").load("x")) == 2
    with pytest.raises(DatasetError, match="partition_cols"):
        one(tmp_path, "pandas.ParquetDataset", "y.parquet", save_args={"partition_cols": ["a"]}).save("x", FRAME)


@pytest.mark.parametrize("backend", ["cloudpickle", "joblib"])
def test_pickle_backends(tmp_path, backend):
    """Another pickle module can be used."""
    pytest.importorskip(backend)
    catalog = one(tmp_path, "pickle.PickleDataset", "x.pkl", backend=backend)
    catalog.save("x", [1, 2])
    assert catalog.load("x") == [1, 2]
    assert catalog["x"].describe()["backend"] == backend


@pytest.mark.parametrize(("backend", "text"), [("no_such_pickle", "cannot be imported"), ("math", "no `load` and `dump`")])
def test_wrong_pickle_backends(tmp_path, backend, text):
    """A backend that is missing or unfit is an error that names it."""
    with pytest.raises(DatasetError, match=f"'x'.*'{backend}'.*{text}"):
        one(tmp_path, "pickle.PickleDataset", "x.pkl", backend=backend).load("x")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [("x.json", "{", "not valid JSON"), ("x.pkl", "", "empty or truncated"), ("x.parquet", "none", "Check the file's content")],
)
def test_broken_files(tmp_path, name, content, text):
    """A file that is broken is an error that names dataset and path and says the probable cause."""
    kind = {"x.json": "json.JSONDataset", "x.pkl": "pickle.PickleDataset", "x.parquet": "pandas.ParquetDataset"}[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=f"(?s)Could not load dataset 'x' .*{name}.*{text}"):
        one(tmp_path, kind, name).load("x")


def test_a_folder_in_the_place_of_a_file(tmp_path):
    """Saving where a folder is says that a file and a folder are folder where a file is expected."""
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(DatasetError, match="path is a folder where a file is expected"):
        one(tmp_path, "text.TextDataset", "x.txt").save("x", "text")


def test_describe_shows_no_secrets():
    """Neither credentials nor a password in an address are shown."""
    catalog = one(
        None,
        "pandas.CSVDataset",
        "ftp://me:hush@host/x.csv",
        credentials={"key": "hush"},
        load_args={"storage_options": {"key": "hush"}},
        metadata={"owner": "me"},
    )
    dataset = catalog["x"]
    assert dataset.describe() == {"filepath": "ftp://me:***@host/x.csv", "save_args": {"index": False}}
    assert repr(dataset) == "CSVDataset('ftp://me:***@host/x.csv')"
    assert dataset.metadata == {"owner": "me"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ftp://me:hu@sh@host/parts", "ftp://me:***@host/parts"),
        ("s3://AKIA:hu/sh@bucket/parts", "s3://AKIA:***@bucket/parts"),
        ("https://host/parts?version=3&token=hush&sig=hush", "https://host/parts?version=3&token=***&sig=***"),
        ("abfs://lake/parts;AccountKey=hush==", "abfs://lake/parts;AccountKey=***"),
        ("s3://bucket/parts", "s3://bucket/parts"),
        ("/data/token=hush/parts", "/data/token=hush/parts"),
    ],
)
def test_addresses_are_shown_without_their_secrets(address, shown):
    """In the same way by datasets of files and of folders, and by catalog entries: a path of this machine is shown whole."""
    config = {"file": {"type": "text.TextDataset", "filepath": address}}
    config["folder"] = {"type": "partitions.PartitionedDataset", "path": address, "dataset": "text.TextDataset"}
    catalog = Catalog.from_config(config)
    for dataset, key in ((catalog["file"], "filepath"), (catalog["folder"], "path")):
        assert dataset.describe()[key] == shown
        assert f"{shown!r})" in repr(dataset)
    assert f"filepath={shown!r})" in repr(catalog.recipe("file"))
    assert f"path={shown!r})" in repr(catalog.recipe("folder"))


def test_release_lets_go_of_the_storage():
    """A released dataset can be used again."""
    catalog = one(None, "text.TextDataset", "memory://release/x.txt")
    catalog.save("x", "hello")
    catalog.release("x")
    assert catalog.load("x") == "hello"
    fsspec.filesystem("memory").store.clear()


def test_parquet_folders_elsewhere():
    """A folder of Parquet files on another file system is loaded as one frame, too."""
    files = fsspec.filesystem("memory")
    for number in (0, 1):
        with files.open(f"/parts/x.parquet/{number}.parquet", "wb") as file:
            FRAME.iloc[[number]].to_parquet(file, index=False)
    assert len(one(None, "pandas.ParquetDataset", "memory://parts/x.parquet").load("x")) == 2
    files.store.clear()
