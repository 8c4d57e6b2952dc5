"""Records of the content of Kedro's datasets."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("kedro_datasets")

import fsspec
from kedro.io import CachedDataset, DataCatalog, MemoryDataset
from kedro.io.core import Version
from kedro.pipeline import node
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import SQLTableDataset
from kedro_datasets.partitions import IncrementalDataset, PartitionedDataset
from kedro_datasets.text import TextDataset

from treadle.execution.attempt.context import Steps
from treadle.io.contents import content_of, digest_of
from treadle.io.identity import file_identity_of
from treadle.kedro.attempt_strategy import KedroAttemptStrategy
from treadle.kedro.process_catalog import ProcessCatalog


def test_a_file(tmp_path):
    """The record has the bytes of the file; without a file there is none."""
    dataset = TextDataset(filepath=str(tmp_path / "x.txt"))
    assert content_of(dataset, "x") is None
    dataset.save("hello")
    record = content_of(dataset, "x")
    assert record[:4] == ("x", str(tmp_path / "x.txt"), None, 5)
    assert record.digest == digest_of(b"hello")
    dataset.save("hellO")
    assert not content_of(dataset, "x", record).same_content(record)


def test_looking_at_a_version_does_not_pin_it(tmp_path):
    """The record is that of the newest version; a version that is saved later is still loaded."""
    path = str(tmp_path / "x.json")
    looking = JSONDataset(filepath=path, version=Version(None, None))
    assert content_of(looking, "x") is None
    assert file_identity_of(looking) is None
    for version in ("v1", "v2"):
        JSONDataset(filepath=path, version=Version(None, version)).save(version)
        record = content_of(looking, "x")
        assert (record.version, record.digest) == (version, digest_of(f'"{version}"'.encode()))
        assert file_identity_of(looking).path == record.location
    assert looking.load() == "v2"


def test_partitions(tmp_path):
    """The names and bytes of the partitions count, as they are now."""
    folder = PartitionedDataset(path=str(tmp_path), dataset="text.TextDataset", filename_suffix=".txt")
    assert content_of(folder, "x") is None
    folder.save({"a": "1", "b/c": "2"})
    folder.load()
    record = content_of(folder, "x")
    assert (record.location, record.size) == (str(tmp_path), 2)
    (tmp_path / "note.md").write_text("not a partition")
    assert content_of(folder, "x").same_content(record)
    (tmp_path / "d.txt").write_text("3")
    assert not content_of(folder, "x").same_content(record)


def test_incremental_data_cannot_be_verified(tmp_path):
    """What is new depends on the checkpoint, and on how the project compares with it."""
    folder = IncrementalDataset(path=str(tmp_path), dataset="text.TextDataset")
    folder.save({"1": "a"})
    assert "checkpoint" in content_of(folder, "x").problem


def test_a_cached_dataset_has_the_content_of_the_one_within(tmp_path):
    """Not that of its value in memory."""
    inner = TextDataset(filepath=str(tmp_path / "x.txt"))
    cached = CachedDataset(inner)
    cached.save("a")
    inner.save("b")
    assert content_of(cached, "x").digest == digest_of(b"b")


@pytest.mark.parametrize(
    "dataset", [MemoryDataset(1), SQLTableDataset(table_name="t", credentials={"con": "sqlite://"})], ids=["memory", "table"]
)
def test_datasets_without_a_file(dataset):
    """They have a record that says so."""
    record = content_of(dataset, "x")
    assert record.digest is None
    assert "no file" in record.problem


def parts():
    """Yield values for two outputs in turn."""
    for number in range(3):
        yield {f"p{number}": "text"}, f"chunk {number}"


@pytest.mark.parametrize("way", ["sequential", "async", "chunks"])
def test_contents_of_outputs(tmp_path, way):
    """They are recorded when all of an output is saved, however a node saves it; values in memory have none."""
    catalog = DataCatalog(
        {
            "folder": PartitionedDataset(path=str(tmp_path / "folder"), dataset="text.TextDataset"),
            "text": TextDataset(filepath=str(tmp_path / "x.txt")),
        }
    )
    function, outputs = (
        (parts, ["folder", "text"]) if way == "chunks" else (lambda: ({"a": "1"}, "2", 3), ["folder", "text", "value"])
    )
    strategy = KedroAttemptStrategy(ProcessCatalog(catalog, {"value": 0}), None, run_id=None, is_async=way == "async")
    steps, stored = Steps(0.0, os.getpid()), {}
    steps.contents = {}
    strategy(SimpleNamespace(kedro=node(function, None, outputs)), 0, steps, None, stored.__setitem__)
    assert sorted(steps.contents) == ["folder", "text"]
    assert steps.contents["text"].digest == digest_of((tmp_path / "x.txt").read_bytes())
    assert steps.contents["folder"].same_content(content_of(catalog.get("folder"), "folder"))
    assert stored == ({} if way == "chunks" else {0: 3})


def test_remote_files():
    """They are compared by the metadata of their file system; one that has none cannot be verified."""
    dataset = TextDataset(filepath="memory://a/b/x.txt")
    fsspec.filesystem("memory").store.clear()
    assert content_of(dataset, "x") is None
    dataset.save("hello")
    record = content_of(dataset, "x")
    assert (record.location, record.size, record.digest) == ("memory:///b/x.txt", 5, None)
    assert "entity tag" in record.problem
