"""Records of the content of datasets: equal for equal bytes, different for others, cheap where nothing was touched."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from treadle.io import contents
from treadle.io.contents import blank_record, content_of, local_content, local_content_of, written_files_noted
from treadle.io.dataset import Dataset
from treadle.io.datasets.cached import CachedDataset
from treadle.io.datasets.incremental import IncrementalDataset
from treadle.io.datasets.partitioned import PartitionedDataset
from treadle.io.datasets.text import TextDataset
from treadle.io.memory import MemoryDataset
from treadle.io.recipe import DatasetRecipe
from treadle.secrets import register_secrets

LONG_AGO = 1_600_000_000_000_000_000
MINUTE = 60_000_000_000


class TaggedFiles(MemoryFileSystem):
    """A remote file system that has entity tags, and from which nothing may be read."""

    protocol = "tagged"
    store = {}  # noqa: RUF012 - as in the base class
    pseudo_dirs = [""]  # noqa: RUF012 - likewise
    tag = "{}"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("tagged://"))

    def info(self, path, **kwargs):
        found = super().info(path, **kwargs)
        return self._tagged(found)

    def ls(self, path, detail=True, **kwargs):
        found = super().ls(path, detail=detail, **kwargs)
        return [self._tagged(each) for each in found] if detail else found

    def find(self, path, maxdepth=None, withdirs=False, **kwargs):
        found = super().find(path, maxdepth, withdirs, **kwargs)
        return {name: self._tagged(each) for name, each in found.items()} if kwargs.get("detail") else found

    def _tagged(self, info):
        content = self.store[info["name"]].getvalue() if info["name"] in self.store else None
        return info if content is None else {**info, "ETag": self.tag.format(hashlib.md5(content).hexdigest())}

    def _open(self, path, mode="rb", **kwargs):
        assert mode == "wb"
        return super()._open(path, mode=mode, **kwargs)


@pytest.fixture
def tagged():
    """The remote file system, empty."""
    fsspec.register_implementation("tagged", TaggedFiles, clobber=True)
    TaggedFiles.store.clear()
    TaggedFiles.tag = '"{}"'
    return TaggedFiles


@pytest.fixture
def reads(monkeypatch):
    """The paths of the files that were read to hash them."""
    paths = []
    read = contents._read_file
    monkeypatch.setattr(contents, "_read_file", lambda path: paths.append(Path(path).name) or read(path))
    return paths


@pytest.fixture
def file(tmp_path):
    """A dataset with a text."""
    dataset = TextDataset(tmp_path / "x.txt")
    dataset.save("hello")
    return dataset


def later(record):
    """A record as if it had been made a minute later, so that the changes before it are clearly older."""
    return record._replace(taken_ns=record.taken_ns + MINUTE)


def test_a_file(tmp_path, file):
    """The record has what identifies the content, and is the same in each process; without a file there is no record."""
    record = content_of(file, "x")
    status = (tmp_path / "x.txt").stat()
    assert record[:5] == ("x", str(tmp_path / "x.txt"), None, 5, status.st_mtime_ns)
    assert record.digest == "xxh3:b5e9c1ad071b3e7fc779cfaa5e523818"
    assert record.taken_ns >= status.st_mtime_ns - MINUTE
    assert pickle.loads(pickle.dumps(record)) == record
    assert content_of(TextDataset(tmp_path / "none.txt"), "none") is None
    assert content_of(TextDataset(tmp_path / "x.txt" / "none.txt"), "none") is None


def test_equal_bytes_are_equal_content(tmp_path, file):
    """Whenever and wherever they were written; one other byte is another content."""
    record = content_of(file, "x")
    file.save("hello")
    other = TextDataset(tmp_path / "elsewhere" / "y.txt")
    other.save("hello")
    assert content_of(file, "x", record).same_content(record)
    assert content_of(other, "y", record).same_content(record)
    file.save("hellO")
    assert not content_of(file, "x", record).same_content(record)
    assert not record.same_content(None)


def test_a_file_that_was_not_touched_is_not_read(file, reads):
    """If the known record is clearly newer than the last change."""
    record = content_of(file, "x")
    assert content_of(file, "x", later(record)).same_content(record)
    assert reads == ["x.txt"]


def test_a_touch_costs_one_read(tmp_path, file, reads):
    """After which the new record serves."""
    record = content_of(file, "x")
    os.utime(tmp_path / "x.txt")
    touched = content_of(file, "x", later(record))
    assert touched.same_content(record)
    assert content_of(file, "x", later(touched)).same_content(record)
    assert reads == ["x.txt", "x.txt"]


def test_an_edit_of_the_same_size_in_the_same_tick(tmp_path, file):
    """It is found because a time that is not clearly older than the record is not trusted."""
    record = content_of(file, "x")
    (tmp_path / "x.txt").write_text("HELLO")
    os.utime(tmp_path / "x.txt", ns=(record.mtime_ns, record.mtime_ns))
    edited = content_of(file, "x", record)
    assert (edited.size, edited.mtime_ns) == (record.size, record.mtime_ns)
    assert not edited.same_content(record)


def test_a_file_that_is_replaced_with_its_old_time(tmp_path, file):
    """As `cp -p` and archives do: the time of the last status change tells."""
    os.utime(tmp_path / "x.txt", ns=(LONG_AGO, LONG_AGO))
    record = content_of(file, "x")
    (tmp_path / "y.txt").write_text("HELLO")
    os.utime(tmp_path / "y.txt", ns=(LONG_AGO, LONG_AGO))
    (tmp_path / "y.txt").replace(tmp_path / "x.txt")
    replaced = content_of(file, "x", record)
    assert (replaced.size, replaced.mtime_ns) == (record.size, record.mtime_ns)
    assert not replaced.same_content(record)


def test_a_record_of_another_place_is_not_trusted(tmp_path, file):
    """Files of two places may have the same size and time, and different bytes."""
    other = TextDataset(tmp_path / "y.txt")
    other.save("HELLO")
    for path in (tmp_path / "x.txt", tmp_path / "y.txt"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    record = content_of(file, "x")
    assert not content_of(other, "x", later(record)).same_content(record)


def test_large_files(tmp_path):
    """A file is hashed as a whole, in blocks."""
    data = bytes(range(256)) * 12_289
    (tmp_path / "x.txt").write_bytes(data)
    assert content_of(TextDataset(tmp_path / "x.txt"), "x").digest == contents.digest_of(data)


def test_versions(tmp_path):
    """The record is that of the version to load; without a version there is none."""
    versions = [TextDataset(tmp_path / "x.txt", version=(None, version)) for version in ("v1", "v2")]
    assert content_of(versions[0], "x") is None
    for text, dataset in zip("ab", versions, strict=True):
        dataset.save(text)
    old, new = (content_of(TextDataset(tmp_path / "x.txt", version=(wanted, None)), "x") for wanted in ("v1", None))
    assert (old.version, new.version) == ("v1", "v2")
    assert old.location == str(tmp_path / "x.txt" / "v1" / "x.txt")
    assert not old.same_content(new)


@pytest.fixture
def folder(tmp_path):
    """A dataset of two partitions."""
    dataset = PartitionedDataset(tmp_path / "parts", "text.TextDataset", filename_suffix=".txt")
    dataset.save({"a": "1", "b/c": "22"})
    return dataset


def test_partitions(tmp_path, folder, reads):
    """Names and bytes of all partitions count, and no other file; nothing is read again that was not touched."""
    record = content_of(folder, "x")
    assert (record.location, record.size) == (str(tmp_path / "parts"), 3)
    assert content_of(folder, "x", later(record)).same_content(record)
    assert reads == ["a.txt", "c.txt"]
    (tmp_path / "parts" / ".a.txt").write_text("tool")
    (tmp_path / "parts" / "a.md").write_text("note")
    os.utime(tmp_path / "parts" / "a.txt")
    assert content_of(folder, "x", later(record)).same_content(record)
    assert reads == ["a.txt", "c.txt"] * 2
    assert content_of(PartitionedDataset(tmp_path / "none", "text.TextDataset"), "x") is None


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename", "swap"])
def test_a_change_in_a_folder(tmp_path, folder, change):
    """Each is found, with the same sizes and times too."""
    parts = tmp_path / "parts"
    for path in parts.rglob("*.txt"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    record = content_of(folder, "x")
    changes = {
        "edit": lambda: (parts / "a.txt").write_text("2"),
        "add": lambda: (parts / "d.txt").write_text(""),
        "remove": (parts / "a.txt").unlink,
        "rename": lambda: (parts / "a.txt").rename(parts / "d.txt"),
        "swap": lambda: (parts / "b" / "c.txt").write_text("21"),
    }
    changes[change]()
    for path in parts.rglob("*.txt"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert not content_of(folder, "x", record).same_content(record)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    """As Parquet has them: the files within count, also those behind a link to a folder."""
    (tmp_path / "x.parquet").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "part-0").write_text("a")
    (tmp_path / "x.parquet" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x.parquet" / "loop").symlink_to(tmp_path / "x.parquet")
    dataset = TextDataset(tmp_path / "x.parquet")
    record = content_of(dataset, "x")
    (tmp_path / "elsewhere" / "part-0").write_text("b")
    assert not content_of(dataset, "x", record).same_content(record)


def test_partitions_that_are_new(tmp_path):
    """Of an incremental dataset, those count that a load would read, which may be none."""
    dataset = IncrementalDataset(tmp_path, "text.TextDataset", filename_suffix=".txt")
    dataset.save({"1": "a", "2": "b"})
    first = content_of(dataset, "x")
    dataset.load()
    dataset.confirm()
    confirmed = content_of(dataset, "x")
    assert confirmed.size == 0
    assert not confirmed.same_content(first)
    assert confirmed.same_content(content_of(dataset, "x", confirmed))
    dataset.save({"3": "c"})
    assert not content_of(dataset, "x", confirmed).same_content(confirmed)


def test_a_cached_dataset_has_the_content_of_the_one_within(file):
    """The file counts, not the value in memory."""
    cached = CachedDataset(file)
    cached.load()
    file.save("other")
    assert content_of(cached, "x").same_content(content_of(file, "x"))


def test_remote_files(tagged):
    """They are compared by their entity tags, without a download; passwords are not in the record."""
    dataset = TextDataset("tagged://me:s3cr3t@bucket/x.txt")
    assert content_of(dataset, "x") is None
    dataset.save("a")
    record = content_of(dataset, "x")
    assert record.digest == f"etag:{hashlib.md5(b'a').hexdigest()}"
    assert (record.size, record.mtime_ns) == (1, None)
    assert "s3cr3t" not in str(record)
    dataset.save("b")
    assert not content_of(dataset, "x", record).same_content(record)


def test_remote_partitions(tagged):
    """The names and entity tags of all files count."""
    dataset = PartitionedDataset("tagged://bucket/parts", "text.TextDataset", filename_suffix=".txt")
    dataset.save({"a": "1", "b": "2"})
    record = content_of(dataset, "x")
    assert (record.digest[:5], record.size) == ("etag:", 2)
    assert content_of(dataset, "x").same_content(record)
    dataset.save({"b": "3"})
    assert not content_of(dataset, "x").same_content(record)
    folder = TextDataset("tagged://bucket/parts")
    assert content_of(folder, "x").same_content(content_of(dataset, "x"))


@pytest.mark.parametrize("kind", ["weak", "none"])
def test_remote_files_that_cannot_be_verified(tagged, kind):
    """A weak entity tag does not stand for the bytes, and neither does a time."""
    address = "tagged://bucket/x.txt" if kind == "weak" else "memory://bucket/x.txt"
    tagged.tag = 'W/"{}"'
    dataset = TextDataset(address)
    dataset.save("a")
    record = content_of(dataset, "x")
    assert record.digest is None
    assert "entity tag" in record.problem
    assert not record.same_content(content_of(dataset, "x"))


class Table(Dataset):
    """A dataset without a file."""

    def load(self):
        return 1

    def save(self, data):
        pass


class Broken(TextDataset):
    """A dataset whose path cannot be determined."""

    def load_version(self):
        msg = "no server at hunter2-hunter2"
        raise ConnectionError(msg)

    exists = load_version


@pytest.mark.parametrize("dataset", [Table(), MemoryDataset(1)])
def test_datasets_without_a_file(dataset):
    """They have a record that says so."""
    record = content_of(dataset, "x")
    assert (record.dataset, record.location, record.digest) == ("x", None, None)
    assert "no file" in record.problem
    assert not record.same_content(record)


def test_a_dataset_that_raises(tmp_path):
    """Its content cannot be verified; the record has the error, without secrets."""
    register_secrets(["hunter2-hunter2"])
    record = content_of(Broken(tmp_path / "x.txt"), "x")
    assert (record.digest, record.problem) == (None, "Its content cannot be determined: ConnectionError: no server at ***")


def test_pipes_and_devices(tmp_path):
    """They have no content that could be read twice, and are not waited for."""
    assert content_of(TextDataset(os.devnull), "x").problem == "It is neither a file nor a folder."
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    assert "such as a pipe" in content_of(TextDataset(tmp_path / "folder"), "x").problem


def test_what_was_written_counts_although_it_was_replaced(tmp_path, file, folder, reads):
    """While written files are noted, the record has the bytes of this process, which it has not read again."""
    with written_files_noted():
        file.save("mine")
        folder.save({"a": "mine"})
        (tmp_path / "x.txt").write_text("theirs")
        (tmp_path / "parts" / "a.txt").write_text("theirs")
        saved, saved_parts = content_of(file, "x"), content_of(folder, "parts")
    assert saved.digest == contents.digest_of(b"mine")
    assert reads == ["c.txt"]
    assert content_of(file, "x").digest == contents.digest_of(b"theirs")
    assert not content_of(folder, "parts").same_content(saved_parts)
    folder.save({"a": "mine"})
    assert content_of(folder, "parts").same_content(saved_parts)


def test_a_dataset_may_describe_its_content_itself(tmp_path):
    """With the method that Treadle's datasets have."""

    class Described(Table):
        def content_record(self, name, known):
            return known or contents.unverifiable(name, "mine")

    record = content_of(Described(), "x")
    assert record.problem == "mine"
    assert content_of(Described(), "x", record) is record


@pytest.mark.parametrize("kind", ["text.TextDataset", "json.JSONDataset", "pickle.PickleDataset"])
@pytest.mark.parametrize("path", ["x.txt", "data/../x.txt", "file://{root}/x.txt", "missing.txt"])
def test_a_plain_file_is_read_without_its_dataset(tmp_path, kind, path):
    """The record is the one that the dataset itself gives."""
    (tmp_path / "x.txt").write_text("a")
    recipe = DatasetRecipe("x", {"type": kind, "filepath": path.format(root=tmp_path)}, project_path=str(tmp_path))
    found, asked = local_content_of("x", recipe.plain_file()), content_of(recipe.build(), "x")
    assert (found and found._replace(taken_ns=None)) == (asked and asked._replace(taken_ns=None))


@pytest.mark.parametrize(
    "config",
    [
        {"type": "text.TextDataset", "filepath": "x.txt", "versioned": True},
        {"type": "text.TextDataset", "filepath": "memory://x.txt"},
        {"type": "partitions.PartitionedDataset", "path": "x", "dataset": "text.TextDataset"},
        {"type": "CachedDataset", "dataset": {"type": "text.TextDataset", "filepath": "x.txt"}},
        {"type": "shop.OwnDataset", "filepath": "x.txt"},
        {"type": "MemoryDataset"},
    ],
    ids=lambda config: config["type"],
)
def test_other_datasets_say_themselves_what_they_load(config):
    assert DatasetRecipe("x", config).plain_file() is None


@pytest.mark.parametrize("place", ["link.txt", "linked/table.txt", "kept/table.txt", "linked", "kept"])
def test_another_file_with_the_same_size_and_times(tmp_path, place):
    """A link or a folder is replaced, which changes neither the size nor the times of any file."""
    for name in ("kept", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.txt").write_text(name[:4])
        os.utime(tmp_path / name / "table.txt", ns=(LONG_AGO, LONG_AGO))
    (tmp_path / "linked").symlink_to("kept")
    (tmp_path / "link.txt").symlink_to("kept/table.txt")
    path = str(tmp_path / place)
    record = later(local_content(blank_record("x", path), path, None))
    assert local_content(blank_record("x", path), path, record).same_content(record)
    (tmp_path / "linked").unlink()
    (tmp_path / "link.txt").unlink()
    (tmp_path / "linked").symlink_to("other")
    (tmp_path / "link.txt").symlink_to("other/table.txt")
    if place.startswith("kept"):
        (tmp_path / "kept").rename(tmp_path / "old")
        (tmp_path / "other").rename(tmp_path / "kept")
    assert not local_content(blank_record("x", path), path, record).same_content(record)
