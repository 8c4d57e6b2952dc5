from __future__ import annotations

import pickle
from functools import partial

import pytest

from treadle import Pipeline, SequentialRunner, node
from treadle.errors import DatasetError, NodeError
from treadle.io import Catalog
from treadle.io.datasets.incremental import IncrementalDataset
from treadle.io.datasets.partitioned import PartitionedDataset


def parts_of(folder, **more):
    return PartitionedDataset(folder, "text.TextDataset", filename_suffix=".txt", **more)


def test_round_trip_in_folders(tmp_path):
    """Partitions are saved by name, in folders too, and loaded when they are called; other files do not count."""
    parts = parts_of(tmp_path / "parts")
    parts.save({"2024/may": "sun", "june": lambda: "rain"})
    (tmp_path / "parts" / "notes.md").write_text("no partition")
    (tmp_path / "parts" / ".hidden.txt").write_text("no partition")
    assert (tmp_path / "parts" / "2024" / "may.txt").read_text() == "sun"
    loaded = parts.load()
    assert list(loaded) == ["2024/may", "june"]
    (tmp_path / "parts" / "june.txt").write_text("hail")
    assert loaded["june"]() == "hail"
    assert pickle.loads(pickle.dumps(loaded))["2024/may"]() == "sun"


def test_one_value_in_memory_at_a_time(tmp_path):
    """Values that can be called are called one after the other, each after the last one was written."""
    seen = []

    def make(name):
        seen.append((name, sorted(file.name for file in tmp_path.rglob("*.txt"))))
        return name

    parts_of(tmp_path).save({"a": lambda: make("a"), "b": lambda: make("b")})
    assert seen == [("a", []), ("b", ["a.txt"])]


class Model:
    """A value that can be called, as many models can."""

    def __call__(self):
        raise AssertionError("a value is not called")


def test_values_that_can_be_called_are_values(tmp_path):
    """Models and classes are saved; functions and partitions that were loaded are called; `save_lazily` decides otherwise."""
    arguments = {"dataset": {"type": "pickle.PickleDataset", "backend": "cloudpickle"}, "filename_suffix": ".pkl"}
    parts = PartitionedDataset(tmp_path, **arguments)
    parts.save({"model": Model(), "class": dict, "made": lambda: 3, "partial": partial(int, "4"), "method": "x".upper})
    loaded = {name: load() for name, load in parts.load().items()}
    assert (type(loaded["model"]).__name__, loaded["class"]) == ("Model", dict)
    assert (loaded["made"], loaded["partial"], loaded["method"]) == (3, 4, "X")
    parts.save({"again": parts.load()["made"]})
    assert parts.load()["again"]() == 3
    as_they_are = PartitionedDataset(tmp_path / "values", save_lazily=False, **arguments)
    as_they_are.save({"function": lambda: 3})
    assert as_they_are.load()["function"]()() == 3
    as_in_kedro = PartitionedDataset(tmp_path / "kedro", save_lazily=True, **arguments)
    as_in_kedro.save({"class": dict})
    assert as_in_kedro.load()["class"]() == {}


def test_the_number_of_levels(tmp_path):
    """`maxdepth` is honoured; other arguments for looking are refused."""
    parts_of(tmp_path).save({"a": "1", "2024/b": "2", "2024/may/c": "3"})
    assert parts_of(tmp_path, load_args={"maxdepth": 1}).names() == ["a"]
    assert parts_of(tmp_path, load_args={"maxdepth": 2}).names() == ["2024/b", "a"]
    remote = PartitionedDataset("memory://levels", "text.TextDataset", load_args={"maxdepth": 1})
    remote.save({"a": "1", "deep/b": "2"})
    assert remote.names() == ["a"]
    for wrong in ({"withdirs": True}, {"maxdepth": 0}, {"maxdepth": "1"}):
        with pytest.raises(DatasetError, match=next(iter(wrong))):
            parts_of(tmp_path, load_args=wrong)


def test_overwrite(tmp_path):
    """With `overwrite` what was there before goes, but not what the same run saved in an earlier chunk."""
    parts_of(tmp_path).save({"old": "x"})
    parts = parts_of(tmp_path, overwrite=True)
    parts.save({"a": "1"})
    parts.save({"b": "2"})
    assert parts.names() == ["a", "b"]
    parts_of(tmp_path).save({"c": "3"})
    assert parts.names() == ["a", "b", "c"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_save_leaves_the_folder_as_it_was(tmp_path, overwrite):
    """Whatever was written before the failure; nothing else is left."""
    parts_of(tmp_path).save({"a": "old", "b": "old"})

    def fail():
        assert [name for name in parts_of(tmp_path).names() if name == "c/d"] == []
        raise ValueError("no thread")

    with pytest.raises(ValueError, match="no thread"):
        parts_of(tmp_path, overwrite=overwrite).save({"a": "new", "c/d": "new", "e": fail})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old", "b.txt": "old"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_chunks_appear_together(tmp_path, overwrite):
    """Those that a generator node yields; if it fails, the folder stays as it was."""
    parts_of(tmp_path).save({"a": "old", "b": "old"})
    fails = [True]

    def make():
        for name in "acd":
            yield {name: "new"}
            assert parts_of(tmp_path).names() == ["a", "b"]
        if fails.pop():
            raise ValueError("no thread")
        yield {"a": "newer"}

    catalog = Catalog({"parts": parts_of(tmp_path, overwrite=overwrite)})
    pipeline = Pipeline([node(make, None, "parts", name="make")])
    with pytest.raises(NodeError, match="no thread"):
        SequentialRunner().run(pipeline, catalog)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old", "b.txt": "old"}
    fails[:] = [False]
    SequentialRunner().run(pipeline, catalog)
    expected = {"a.txt": "newer", "c.txt": "new", "d.txt": "new", **({} if overwrite else {"b.txt": "old"})}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == expected


def test_partitions_that_are_replaced(tmp_path):
    """They keep their modes, and a link stays a link."""
    folder = tmp_path / "parts"
    parts_of(folder).save({"a": "old"})
    (folder / "a.txt").chmod(0o600)
    (tmp_path / "elsewhere.txt").write_text("old")
    (folder / "b.txt").symlink_to(tmp_path / "elsewhere.txt")
    parts_of(folder).save({"a": "new", "b": "new", "c": "new"})
    assert (folder / "a.txt").stat().st_mode & 0o777 == 0o600
    assert (folder / "b.txt").is_symlink()
    assert (tmp_path / "elsewhere.txt").read_text() == "new"
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt", "c.txt"]


def test_links_to_folders_that_do_not_exist(tmp_path):
    """These are created, that of the dataset and those in it."""
    (tmp_path / "parts").symlink_to(tmp_path / "scratch" / "parts")
    (tmp_path / "scratch").mkdir()
    parts = PartitionedDataset(tmp_path / "parts", "text.TextDataset")
    parts.save({"a": "1"})
    (tmp_path / "parts" / "2024").symlink_to(tmp_path / "archive")
    parts.save({"2024/may": "2"})
    assert {name: load() for name, load in parts.load().items()} == {"2024/may": "2", "a": "1"}
    assert (tmp_path / "archive" / "may").read_text() == "2"


def test_partitions_that_are_appended_to(tmp_path):
    """Each has what it had before."""
    appending = {"dataset": {"type": "text.TextDataset", "save_args": {"mode": "a"}}}
    for text in ("1", "2"):
        PartitionedDataset(tmp_path, **appending).save({"a": text})
    assert (tmp_path / "a").read_text() == "12"


@pytest.mark.parametrize("name", ["../up", "/etc/x", "", ".hidden", "a//b", 5])
def test_names_stay_in_the_folder(tmp_path, name):
    """A name that leads elsewhere, or that would not be found again, is an error."""
    with pytest.raises(DatasetError, match="cannot be the name of a partition"):
        parts_of(tmp_path).save({name: "x"})


def test_wrong_use(tmp_path):
    """No mapping, no partition, a path or versions within: each is an error that says what to do."""
    with pytest.raises(DatasetError, match="a mapping"):
        parts_of(tmp_path).save(["x"])
    with pytest.raises(DatasetError, match=r"no partition in .* ends with '.txt'"):
        parts_of(tmp_path).load()
    with pytest.raises(DatasetError, match="must not have 'filepath'"):
        PartitionedDataset(tmp_path, {"type": "text.TextDataset", "filepath": "x"})
    with pytest.raises(DatasetError, match="cannot be versioned"):
        PartitionedDataset(tmp_path, {"type": "text.TextDataset", "versioned": True})
    assert not parts_of(tmp_path).exists()


def test_in_the_catalog(tmp_path):
    """The entry's folder is relative to the project, and its credentials reach the partitions."""
    entry = {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": {"type": "json.JSONDataset"}}
    catalog = Catalog.from_config({"parts": {**entry, "filename_suffix": ".json"}}, project_path=tmp_path)
    assert not catalog.capabilities("parts").main_process_only
    catalog.save("parts", {"a": [1]})
    assert (tmp_path / "parts" / "a.json").exists()
    assert catalog.load("parts")["a"]() == [1]
    here = Catalog.from_config({"parts": {**entry, "path": "memory://parts"}})
    assert here.capabilities("parts").main_process_only
    here.save("parts", {"b": [2]})
    assert here.load("parts")["b"]() == [2]
    with pytest.raises(DatasetError, match="unknown type"):
        Catalog.from_config({"parts": {**entry, "dataset": "json.Nothing"}}).capabilities("parts")


def new_of(folder, run="run-1", **more):
    return IncrementalDataset(folder, "text.TextDataset", filename_suffix=".txt", run=run, **more)


@pytest.fixture
def folder(tmp_path):
    """Two partitions."""
    parts_of(tmp_path).save({"01": "a", "02": "b"})
    return tmp_path


def test_incremental_reads_what_is_new(folder):
    """What was confirmed is not read again; what came between load and confirm is."""
    assert new_of(folder).load() == {"01": "a", "02": "b"}
    assert new_of(folder).load() == {"01": "a", "02": "b"}
    parts_of(folder).save({"03": "c"})
    new_of(folder).confirm()  # another object: the node that confirms may run in another process
    assert new_of(folder, run="run-2").load() == {"03": "c"}
    assert new_of(folder, run="run-2").exists()
    new_of(folder, run="run-2").confirm()
    assert new_of(folder, run="run-3").load() == {}
    new_of(folder, run="run-3").confirm()
    assert new_of(folder).checkpoint() == "03"
    assert sorted(file.name for file in folder.iterdir()) == ["01.txt", "02.txt", "03.txt", "CHECKPOINT"]


def test_concurrent_runs_confirm_their_own(folder):
    """Each run confirms what it has loaded itself; one that read less and ends later takes nothing back."""
    new_of(folder, run="run-1").load()
    parts_of(folder).save({"03": "c"})
    new_of(folder, run="run-2").load()
    new_of(folder, run="run-1").confirm()
    assert new_of(folder).checkpoint() == "02"
    new_of(folder, run="run-1b").load()
    new_of(folder, run="run-2").confirm()
    assert new_of(folder).checkpoint() == "03"


def test_a_resumed_run_confirms_what_the_failed_one_loaded(folder):
    """A run that begins after the load confirms what the run before it had loaded."""
    new_of(folder, run="run-1").load()
    parts_of(folder).save({"03": "c"})
    new_of(folder, run="run-2").confirm()
    assert new_of(folder).checkpoint() == "02"
    with pytest.raises(DatasetError, match="No partition has been loaded"):
        new_of(folder, run="run-2").confirm()


def test_a_checkpoint_can_be_given(folder):
    """A checkpoint of the entry stands in place of the kept one."""
    assert new_of(folder, checkpoint="01").load() == {"02": "b"}
    new_of(folder).load()
    new_of(folder).confirm()
    assert new_of(folder, checkpoint="").load() == {"01": "a", "02": "b"}


def test_a_run_that_confirms_nothing_leaves_no_file(tmp_path):
    """A load alone writes nothing, neither in a run nor without one, so that a folder may be read-only."""
    folder = tmp_path / "days"
    parts_of(folder).save({"1": "a", "2": "b"})
    entry = {
        "type": "partitions.IncrementalDataset",
        "path": str(folder),
        "dataset": "text.TextDataset",
        "filename_suffix": ".txt",
    }
    catalog = Catalog.from_config({"days": entry})
    folder.chmod(0o555)
    try:
        for _ in range(2):
            SequentialRunner().run(Pipeline([node(len, "days", "number")]), catalog)
        assert len(catalog.load("days")) == 2
    finally:
        folder.chmod(0o755)
    assert sorted(file.name for file in folder.iterdir()) == ["1.txt", "2.txt"]
    catalog.confirm("days")  # what this process has loaded
    assert catalog.load("days") == {}
    assert (folder / "CHECKPOINT").read_text() == "2"


def test_runs_that_failed_leave_notes_until_one_confirms(tmp_path):
    """A run whose confirming node fails can be resumed; the next one that confirms removes the notes of all."""
    parts_of(tmp_path).save({"1": "a"})
    entry = {
        "type": "partitions.IncrementalDataset",
        "path": str(tmp_path),
        "dataset": "text.TextDataset",
        "filename_suffix": ".txt",
    }
    catalog = Catalog.from_config({"days": entry})

    def fail(days):
        raise ValueError(days)

    for _ in range(2):
        with pytest.raises(NodeError):
            SequentialRunner().run(Pipeline([node(fail, "days", "number", confirms="days")]), catalog)
    assert len(list(tmp_path.glob(".CHECKPOINT.*"))) == 2
    SequentialRunner().run(Pipeline([node(len, "days", "number", confirms="days")]), catalog)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.txt", "CHECKPOINT"]


def test_a_checkpoint_elsewhere(tmp_path):
    """A mapping gives the file that keeps the checkpoint, relative to the project, and where to begin."""
    parts_of(tmp_path / "days").save({"1": "a", "2": "b"})
    entry = {"type": "partitions.IncrementalDataset", "path": "days", "dataset": "text.TextDataset", "filename_suffix": ".txt"}
    entry["checkpoint"] = {"filepath": "state/days.txt", "force_checkpoint": "1"}
    catalog = Catalog.from_config({"days": entry}, project_path=tmp_path)
    assert catalog.load("days") == {"2": "b"}
    catalog.confirm("days")
    assert (tmp_path / "state" / "days.txt").read_text() == "2"
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["days.txt"]
    kept = Catalog.from_config({"days": {**entry, "checkpoint": {"filepath": "state/days.txt"}}}, project_path=tmp_path)
    assert kept.load("days") == {}
    with pytest.raises(DatasetError, match="'comparison_func'"):
        Catalog.from_config({"days": {**entry, "checkpoint": {"comparison_func": "x.y"}}})["days"]


def test_datasets_with_their_checkpoints_in_one_folder(tmp_path):
    """Each confirms what it has loaded itself, in the same run and after another run that failed."""
    parts_of(tmp_path / "days").save({"1": "a", "2": "b"})
    parts_of(tmp_path / "hours").save({"7": "a", "8": "b"})

    def new_of_both(run):
        return [
            new_of(tmp_path / name, checkpoint={"filepath": tmp_path / "state" / name}, run=run) for name in ("days", "hours")
        ]

    for dataset in new_of_both("run-1"):
        dataset.load()
    days, hours = new_of_both("run-1")
    days.confirm()
    assert (tmp_path / "state" / "days").read_text() == "2"
    new_of_both("run-2")[1].confirm()
    assert (tmp_path / "state" / "hours").read_text() == "8"
    assert sorted(file.name for file in (tmp_path / "state").iterdir()) == ["days", "hours"]
    assert (days.load(), hours.load()) == ({}, {})


def test_a_checkpoint_beside_the_partitions_is_none_of_them(tmp_path):
    """Although its name ends as theirs do."""
    parts_of(tmp_path).save({"1": "a"})
    dataset = new_of(tmp_path, checkpoint={"filepath": tmp_path / "checked.txt"})
    dataset.load()
    dataset.confirm()
    assert (tmp_path / "checked.txt").read_text() == "1"
    assert dataset.load() == {}


def test_partitions_in_a_linked_folder(tmp_path):
    """They are loaded; saving with `overwrite` leaves them, because they may belong to others."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "may.txt").write_text("sun")
    parts_of(tmp_path / "parts").save({"june": "rain"})
    (tmp_path / "parts" / "2024").symlink_to(tmp_path / "shared")
    assert {name: load() for name, load in parts_of(tmp_path / "parts").load().items()} == {"2024/may": "sun", "june": "rain"}
    parts_of(tmp_path / "parts", overwrite=True).save({"july": "hail"})
    assert sorted(parts_of(tmp_path / "parts").load()) == ["2024/may", "july"]


def test_a_partition_that_is_a_link_to_nothing(tmp_path):
    """Loading it is an error: leaving it out would change results silently."""
    parts_of(tmp_path).save({"june": "rain"})
    (tmp_path / "may.txt").symlink_to(tmp_path / "share" / "may.txt")
    loaded = parts_of(tmp_path).load()
    with pytest.raises(FileNotFoundError, match=r"may\.txt"):
        loaded["may"]()
