"""Files of a pipeline before it runs: those that are missing, and those that two datasets write."""

from __future__ import annotations

from treadle import Catalog, Dataset, Pipeline, node
from treadle.planning.files import contested_files, missing_inputs


class Counter(Dataset):
    """Loads where there is no file: it does not say whether it has data."""

    def __init__(self, filepath):
        self.filepath = filepath

    def load(self):
        return 0

    def save(self, data):
        """Keep nothing."""


def text(path, **more):
    return {"type": "text.TextDataset", "filepath": path, **more}


def take(*_values):
    return 1


def test_inputs_whose_file_is_missing(tmp_path):
    """Named with their nodes and places; what a node makes, and what cannot say, is left out."""
    (tmp_path / "there.txt").write_text("x")
    entries = {
        "there": text("there.txt"),
        "gone": text("gone.txt"),
        "unversioned": text("there.txt", versioned=True),
        "made": text("made.txt"),
        "cached": {"type": "CachedDataset", "dataset": text("gone.txt")},
        "parts": {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "text.TextDataset"},
        "new": {"type": "partitions.IncrementalDataset", "path": "parts", "dataset": "text.TextDataset"},
        "counter": {"type": Counter, "filepath": "gone.txt"},
        "broken": {"type": "text.TextDataset", "filepath": "gone.txt", "load_args": {"sep": ","}},
        "far": text("s3://bucket/gone.txt"),
        "table@text": text("table.txt"),
        "table@json": {"type": "json.JSONDataset", "filepath": "table.txt"},
    }
    catalog = Catalog.from_config(entries, project_path=tmp_path)
    catalog["given"] = 1
    pipeline = Pipeline(
        [
            node(take, None, "made", name="make"),
            node(take, None, "table@json", name="tabulate"),
            node(take, ["gone", "made", "given", "table@text"], "one", name="first"),
            node(take, [each for each in entries if "@" not in each], "two", name="second"),
        ]
    )
    wrong = list(missing_inputs(pipeline, catalog))
    assert {each.dataset: each.nodes for each in wrong} == {
        "gone": ("first", "second"),
        "unversioned": ("second",),
        "cached": ("second",),
        "parts": ("second",),
    }
    assert str(tmp_path / "gone.txt") in wrong[0].message


def test_files_that_two_datasets_write(tmp_path):
    """By whatever spelling of the path; appending, tables of one database and transcoding are no contest."""
    (tmp_path / "link").symlink_to(tmp_path)
    append = {"save_args": {"mode": "a"}}
    catalog = Catalog.from_config(
        {
            "a": text("x.txt"),
            "b": text("link/../x.txt"),
            "c": text("link/x.txt"),
            "alone": text("y.txt"),
            "log": text("log.txt", **append),
            "log too": text("log.txt", **append),
            "t1": {"type": Counter, "filepath": "x.duckdb"},
            "t2": {"type": Counter, "filepath": "x.duckdb"},
            "both@text": text("both.txt"),
            "both@json": {"type": "json.JSONDataset", "filepath": "both.txt"},
        },
        project_path=tmp_path,
    )
    names = ["a", "b", "c", "alone", "log", "log too", "t1", "t2", "both@text"]
    pipeline = Pipeline([node(take, None, name, name=f"make {name}") for name in names] + [node(take, "both@json", "end")])
    (wrong,) = contested_files(pipeline, catalog)
    assert wrong.nodes == ("make a", "make b", "make c")
    assert f"write the file {tmp_path / 'x.txt'} and overwrite each other: 'a' (by node 'make a')" in wrong.message
