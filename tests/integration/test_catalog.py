"""The catalog under every runner and start method: transcoding, caches, folders, file systems, versions, confirmations."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import DatasetError, DataValidationError, NodeError, UnknownDatasetError
from treadle.io.validation.failures import CheckFailure

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module", autouse=True)
def custom_datasets():
    """The module of the tests' own datasets, importable here and in workers."""
    sys.path.insert(0, HERE)
    import custom_datasets as module

    yield module
    sys.path.remove(HERE)
    sys.modules.pop("custom_datasets", None)


def test_transcoding(any_runner, tmp_path):
    """`table@pandas` is saved, `table@text` is loaded from the same file, by nodes that wait for the one that saves."""
    catalog = Catalog.from_config(
        {
            "table@pandas": {"type": "pandas.CSVDataset", "filepath": "table.csv", "save_args": {"index": False}},
            "table@text": {"type": "text.TextDataset", "filepath": "table.csv"},
        },
        project_path=tmp_path,
    )
    pipeline = Pipeline(
        [
            node(lambda text: text.splitlines(), "table@text", "lines", name="read"),
            node(lambda: pd.DataFrame({"a": range(2000)}), None, "table@pandas", name="write"),
            node(lambda table: int(table.a.sum()), "table@pandas", "total", name="add"),
        ]
    )
    result = any_runner.run(pipeline, catalog)
    assert result["lines"] == ["a", *map(str, range(2000))]
    assert result["total"] == 1999000


def test_transcoding_of_versions(any_runner, tmp_path):
    """Versioned, both names of a table read what this run saved, not a newer version of another run."""
    entry = {"filepath": "table.csv", "versioned": True}
    config = {"table@pandas": {"type": "pandas.CSVDataset", **entry}, "table@text": {"type": "text.TextDataset", **entry}}
    Catalog.from_config(config, project_path=tmp_path, save_version="v9").save("table@text", "of another run\n")
    catalog = Catalog.from_config(config, project_path=tmp_path, save_version="v1")
    pipeline = Pipeline(
        [
            node(lambda: pd.DataFrame({"mine": [1]}), None, "table@pandas"),
            node(lambda text: text.splitlines()[0], "table@text", "header"),
        ]
    )
    assert any_runner.run(pipeline, catalog)["header"] == "mine"


def test_versions_of_runs_without_a_session(any_runner, tmp_path):
    """Runs on one catalog: each saves one version of its own, and all its nodes load what was the newest when it began."""
    config = {"{name}_text": {"type": "text.TextDataset", "filepath": "{name}.txt", "versioned": True}}
    catalog = Catalog.from_config(config, project_path=tmp_path)

    def disturb(given, root):
        other = Catalog.from_config(config, project_path=root, save_version="9999")
        other.save("given_text", "of another run")
        other.save("made_text", "of another run")
        return given

    nodes = [
        node(str.upper, "given_text", "made_text", name="make"),
        node(disturb, ["made_text", "root"], "made", name="disturb"),
        node(lambda made, given, again: [made, given, again], ["made", "given_text", "made_text"], "seen", name="see"),
        node(str, "made", "last_text", name="last"),
    ]
    ids = []
    for text in ("one", "two"):
        shutil.rmtree(tmp_path / "given.txt" / "9999", ignore_errors=True)
        Catalog.from_config(config, project_path=tmp_path, save_version=text).save("given_text", text)
        told = []
        result = any_runner.run(Pipeline(nodes), catalog, inputs={"root": str(tmp_path)}, observers=[told.append])
        ids.append(told[0].run_id)
        assert result["seen"] == [text.upper(), text, text.upper()]
        assert result["last_text"] == text.upper()
    assert catalog.versions("last_text") == [ids[1], ids[0]]
    assert catalog.versions("made_text") == ["9999", ids[1], ids[0]]


def test_cached_dataset(any_runner, tmp_path):
    """A cached dataset is written to its place by its node, and every taker has the value, in whichever process it is."""
    entry = {"type": "CachedDataset", "dataset": {"type": "json.JSONDataset", "filepath": "made.json"}}
    catalog = Catalog.from_config({"made": entry}, project_path=tmp_path)
    catalog.save("made", ["of before"])
    assert catalog.load("made") == ["of before"]  # cached in this process
    pipeline = Pipeline(
        [
            node(lambda: list(range(5)), None, "made", name="make"),
            *(node(lambda made, place=place: made[place], "made", f"item_{place}", name=f"take_{place}") for place in range(5)),
        ]
    )
    result = any_runner.run(pipeline, catalog)
    assert [result[f"item_{place}"] for place in range(5)] == [0, 1, 2, 3, 4]
    assert catalog.load("made") == [0, 1, 2, 3, 4]
    assert json.loads((tmp_path / "made.json").read_text()) == [0, 1, 2, 3, 4]


def test_partitions(any_runner, tmp_path):
    """A folder is saved and read; partitions that were not loaded yet travel to the process that loads them."""
    entry = {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "json.JSONDataset", "filename_suffix": ".json"}
    catalog = Catalog.from_config({"parts": entry}, project_path=tmp_path)
    pipeline = Pipeline(
        [
            node(lambda: {f"day/{day}": [day] for day in range(4)}, None, "parts", name="write"),
            node(lambda parts: {name: load for name, load in parts.items() if name > "day/1"}, "parts", "late", name="choose"),
            node(lambda late: sum(load()[0] for load in late.values()), "late", "total", name="add"),
        ]
    )
    assert any_runner.run(pipeline, catalog)["total"] == 5


def test_incremental(any_runner, tmp_path):
    """A node after the one that loads confirms what it loaded, in another process or not; the next run reads what is new."""
    parts = {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "json.JSONDataset"}
    config = {"parts": parts, "new": {**parts, "type": "partitions.IncrementalDataset"}}

    def run(save_version, fails=False):
        def report(total):
            if fails:
                raise ValueError("not today")
            return total

        pipeline = Pipeline(
            [
                node(lambda new: sum(new.values()), "new", "total", name="add"),
                node(lambda total: -total, "total", "minus", name="side"),
                node(report, "total", "report", name="report", confirms="new"),
            ]
        )
        catalog = Catalog.from_config(config, project_path=tmp_path, save_version=save_version)
        return any_runner.run(pipeline, catalog)["report"]

    Catalog.from_config(config, project_path=tmp_path).save("parts", {"1": 1, "2": 2})
    with pytest.raises(NodeError):
        run("v1", fails=True)
    assert run("v2") == 3
    Catalog.from_config(config, project_path=tmp_path).save("parts", {"3": 30})
    assert run("v3") == 30
    assert run("v4") == 0


@pytest.mark.parametrize("given", ["recipe", "object"])
def test_confirms(any_runner, way, tmp_path, custom_datasets, given):
    """A node's datasets are confirmed once, after it succeeded, in the process where it ran."""
    file = tmp_path / "x.txt"
    if given == "recipe":
        entry = {"type": "custom_datasets.Confirmable", "filepath": str(file)}
        catalog = Catalog.from_config({"seen": entry, "other": {**entry, "filepath": str(tmp_path / "y.txt")}})
    else:
        catalog = Catalog({"seen": custom_datasets.Confirmable(file), "other": custom_datasets.Confirmable(tmp_path / "y.txt")})
    catalog["kept"] = 1
    pipeline = Pipeline(
        [
            node(lambda seen: (os.getpid(), seen), "seen", "where", name="load"),
            node(lambda where: os.getpid(), "where", "here", name="confirm", confirms=["seen", "other", "where", "kept"]),
        ]
    )
    here = any_runner.run(pipeline, catalog)["here"]
    for name in ("x", "y"):
        assert (tmp_path / f"{name}.confirmed").read_text() == f"{here}\n"
    assert (here == os.getpid()) is (way in {"sequential", "thread"})


def test_failed_nodes_confirm_nothing(any_runner, tmp_path, custom_datasets):
    """A node that fails, in its function or while it saves, confirms nothing."""
    for number, func in enumerate((lambda seen: 1 / 0, lambda seen: None)):
        catalog = Catalog({"seen": custom_datasets.Confirmable(tmp_path / f"{number}.txt")})
        with pytest.raises(NodeError):
            any_runner.run(Pipeline([node(func, "seen", "out", confirms="seen")]), catalog)
        assert not (tmp_path / f"{number}.confirmed").exists()


def test_a_failed_confirmation_names_node_and_dataset(any_runner, tmp_path, custom_datasets):
    """A dataset that cannot be confirmed is its node's failure, which says so."""
    catalog = Catalog({"seen": custom_datasets.Unconfirmable(tmp_path / "x.txt")})
    with pytest.raises(NodeError, match=r"'tell'.*could not confirm 'seen'.*no pen at hand") as caught:
        any_runner.run(Pipeline([node(lambda seen: 1, "seen", "out", name="tell", confirms="seen")]), catalog)
    assert caught.value.failure.phase == "confirm"
    assert caught.value.__cause__.node == "tell"


def test_confirming_in_the_main_process(any_runner, tmp_path):
    """A node that confirms a dataset which may not leave the main process runs there."""
    entry = {"type": "custom_datasets.Confirmable", "filepath": str(tmp_path / "x.txt"), "main_process_only": True}
    from custom_datasets import Confirmable

    catalog = Catalog({"seen": Confirmable(entry["filepath"], main_process_only=True), "start": 1})
    pipeline = Pipeline([node(lambda start: os.getpid(), "start", "here", confirms="seen")])
    assert any_runner.run(pipeline, catalog)["here"] == os.getpid()
    assert (tmp_path / "x.confirmed").read_text() == f"{os.getpid()}\n"


def test_confirming_what_nobody_has(runner_for):
    """Confirming a dataset that does not exist is an error before anything runs, with close matches."""
    pipeline = Pipeline([node(len, "text", "length", name="count", confirms="txet")])
    with pytest.raises(UnknownDatasetError, match=r"'count' confirms 'txet'.*Did you mean 'text'"):
        runner_for("sequential").run(pipeline, Catalog({"text": "abc"}))


def test_object_store_in_workers(any_runner, tmp_path, custom_datasets):
    """A file system whose client does not pickle works in workers, versions and folders too: each builds its own (failure 10)."""
    (tmp_path / "bucket").mkdir()
    options = {
        "credentials": "bucket",
        "fs_args": {"filesystem": "custom_datasets.BucketFileSystem", "root": str(tmp_path / "bucket")},
    }
    config = {
        "text": {"type": "text.TextDataset", "filepath": "bucket://data/in.txt", **options},
        "table": {"type": "pandas.CSVDataset", "filepath": "bucket://data/table.csv", "versioned": True, **options},
        "parts": {
            "type": "partitions.PartitionedDataset",
            "path": "bucket://data/parts",
            "dataset": "text.TextDataset",
            **options,
        },
    }
    catalog = Catalog.from_config(config, {"bucket": {"token": "let me in"}}, save_version="v1")
    catalog.save("text", "1 2 3")
    pipeline = Pipeline(
        [
            node(lambda text: pd.DataFrame({"n": [int(word) for word in text.split()]}), "text", "table", name="table"),
            node(lambda table: {f"p{n}": str(n) for n in table.n}, "table", "parts", name="split"),
            node(lambda parts: "".join(load() for load in parts.values()), "parts", "joined", name="join"),
        ]
    )
    assert any_runner.run(pipeline, catalog)["joined"] == "123"
    assert catalog.versions("table") == ["v1"]
    assert catalog.load("table").n.sum() == 6
    locked = Catalog.from_config(config, {"bucket": {"token": "wrong"}})
    with pytest.raises(NodeError, match="the bucket knows no such token"):
        any_runner.run(pipeline, locked)


def test_unknown_file_system():
    """A file system that cannot be imported is an error that names it."""
    entry = {"type": "text.TextDataset", "filepath": "bucket://x", "fs_args": {"filesystem": "custom_datasets.Nothing"}}
    with pytest.raises(DatasetError, match=r"'x'.*'custom_datasets.Nothing' cannot be imported"):
        Catalog.from_config({"x": entry}).load("x")


@pytest.mark.parametrize("entry", [None, {"type": "MemoryDataset"}, {"type": "json.JSONDataset", "filepath": "x.json"}])
def test_none_is_not_saved(any_runner, tmp_path, entry):
    """Saving None fails and names the node and the dataset, wherever the dataset lives."""
    catalog = Catalog.from_config({} if entry is None else {"made": entry}, project_path=tmp_path)
    with pytest.raises(NodeError, match=r"'forget'.*'made'.*None") as caught:
        any_runner.run(Pipeline([node(lambda: None, None, "made", name="forget")]), catalog)
    cause = caught.value.__cause__
    assert (type(cause), cause.dataset, cause.node) == (DatasetError, "made", "forget")


@pytest.mark.parametrize("entry", [{"type": "MemoryDataset"}, {"type": "json.JSONDataset", "filepath": "x.json"}])
def test_loading_what_was_never_saved(any_runner, tmp_path, entry):
    """Loading what nobody has saved fails and names the node and the dataset."""
    catalog = Catalog.from_config({"missing": entry}, project_path=tmp_path)
    with pytest.raises(NodeError, match=r"'read'.*'missing'") as caught:
        any_runner.run(Pipeline([node(lambda missing: 1, "missing", "out", name="read")]), catalog)
    cause = caught.value.__cause__
    assert (type(cause), cause.dataset, cause.node) == (DatasetError, "missing", "read")


CONCURRENT = """
import os, sys
from treadle import Session, bootstrap_project

bootstrap_project(".")
with Session.create(extra_params={"who": sys.argv[1]}) as session:
    print(session.run(sys.argv[3], runner=sys.argv[2])["loaded"])
"""
REGISTRY = """
import os
from treadle import Pipeline, node

def save(who):
    return who

def wait(who):
    with open(os.environ["GATE_REACHED"], "w") as file:
        file.write(str(os.getpid()))
    with open(os.environ["GATE_OPEN"]) as file:
        file.read()
    return 1

def register_pipelines():
    return {"gated_versions": Pipeline([
        node(save, "params:who", "report", name="save"),
        node(lambda report, who: wait(who), ["report", "params:who"], "waited", name="wait"),
        node(lambda waited, again: again, ["waited", "report"], "loaded", name="load"),
    ]), "plain_versions": Pipeline([node(save, "params:who", "report"), node(str, "report", "loaded")])}
"""


@pytest.mark.parametrize("runner", ["sequential", "parallel"])
def test_concurrent_runs_never_read_each_others_versions(make_loom, launch, gate, runner):
    """A run that loads after another one saved a newer version still loads its own; the newest is the other's (failure 18)."""
    root = make_loom()
    (root / "src/loom/pipeline_registry.py").write_text(REGISTRY)
    (root / "conf/base/catalog_versions.yml").write_text(
        "report:\n  type: text.TextDataset\n  filepath: data/report.txt\n  versioned: true\n"
    )
    catalog = root / "conf/base/catalog.yml"
    catalog.write_text(catalog.read_text().replace("report:\n", "old_report:\n"))
    tally = {"LOOM_TALLY": str(root / "tally.txt")}
    (root / "script.py").write_text(CONCURRENT)
    first = launch([sys.executable, "script.py", "first", runner, "gated_versions"], root, **gate.environment, **tally)
    gate.wait_reached(first)
    for who in ("second", "third"):
        later = launch([sys.executable, "script.py", who, runner, "plain_versions"], root, **tally)
        assert later.wait() == 0, later.output
        assert later.output.rstrip().endswith(who)
    Path(gate.environment["GATE_OPEN"]).write_text("go on")
    assert first.wait() == 0, first.output
    assert first.output.rstrip().endswith("first")
    versions = sorted(each.name for each in (root / "data/report.txt").iterdir())
    assert [(root / "data/report.txt" / each / "report.txt").read_text() for each in versions] == ["first", "second", "third"]


@pytest.mark.parametrize("catalog", [{}, {"table@a": {"type": "MemoryDataset"}, "table@b": {"type": "MemoryDataset"}}])
def test_transcoding_in_memory(runner_for, catalog):
    """A transcoded dataset in memory cannot be loaded as another type: an error before the run, that names both nodes."""
    pipeline = Pipeline([node(lambda: 1, None, "table@a", name="make"), node(str, "table@b", "out", name="take")])
    with pytest.raises(DatasetError, match=r"'take' loads 'table@b', which node 'make' saves as 'table@a'.*same path") as caught:
        runner_for("sequential").run(pipeline, Catalog.from_config(catalog))
    assert (caught.value.dataset, caught.value.node) == ("table@b", "take")


def validated(folder, **declared):
    """A catalog of three datasets with validators: a file, a value in memory, and lines that a generator appends."""
    sorted_numbers = {"class": "custom_datasets.AtMost", "options": {"limit": 9}, **declared}
    return Catalog.from_config(
        {
            "numbers": {"type": "json.JSONDataset", "filepath": "numbers.json", "validator": sorted_numbers},
            "kept": {"type": "MemoryDataset", "validator": sorted_numbers},
            "lines": {
                "type": "text.TextDataset",
                "filepath": "lines.txt",
                "save_args": {"mode": "a"},
                "validator": "custom_datasets.short_text",
            },
        },
        project_path=folder,
    )


@pytest.mark.parametrize("name", ["numbers", "kept"])
def test_validators_convert_and_refuse(any_runner, tmp_path, name):
    """A validator's value is used; a value that it refuses is not saved, and the error names node, dataset and reason."""
    made = [3, 1, 2]
    first = node(lambda: made, None, name, name="make")
    pipeline = Pipeline([first, node(lambda numbers: numbers[:2], name, "first", name="take")])
    assert any_runner.run(pipeline, validated(tmp_path))["first"] == [1, 2]
    (tmp_path / "numbers.json").unlink(missing_ok=True)
    made.append(10)
    with pytest.raises(NodeError) as caught:
        any_runner.run(pipeline, validated(tmp_path))
    error = caught.value.__cause__
    assert isinstance(error, DataValidationError)
    assert (caught.value.node, error.node, error.dataset, error.moment) == ("make", "make", name, "save")
    assert error.validator == "custom_datasets.AtMost"
    assert error.failures == (CheckFailure("ValueError: row 3 is 10, more than 9"),)
    assert f"Dataset '{name}' was refused by its validator custom_datasets.AtMost before it was saved" in str(caught.value)
    assert not (tmp_path / "numbers.json").exists()
    with pytest.raises(NodeError) as caught:
        any_runner.run(pipeline, validated(tmp_path, on="load"))
    assert (caught.value.node, caught.value.__cause__.moment) == ("take", "load")
    assert any_runner.run(pipeline, validated(tmp_path, severity="warn"))["first"] == [3, 1]


def test_validators_of_chunks_and_of_given_inputs(any_runner, tmp_path):
    """Each chunk of a generator is checked; an input that is given to the run is checked when it is loaded."""

    def write(numbers):
        yield "short\n"
        yield "x" * numbers[-1] * 20

    pipeline = Pipeline([node(write, "numbers", "lines", name="write")])
    result = any_runner.run(pipeline, validated(tmp_path), inputs={"numbers": [2, 1]})
    assert result["lines"] == "short\n" + "x" * 40
    with pytest.raises(NodeError, match="short_text before it was saved:\n  it returned False"):
        any_runner.run(pipeline, validated(tmp_path), inputs={"numbers": [5]})
    assert (tmp_path / "lines.txt").read_text() == "short\n" + "x" * 40
    with pytest.raises(NodeError, match=r"'numbers' was refused .* after it was loaded:\n  ValueError: row 0 is 10"):
        any_runner.run(pipeline, validated(tmp_path), inputs={"numbers": [10]})


def test_switched_off(any_runner, tmp_path, monkeypatch):
    """The environment variable switches validators off when the catalog is made, wherever the nodes run."""
    monkeypatch.setenv("TREADLE_DATASET_VALIDATION", "off")
    pipeline = Pipeline([node(lambda: [10, 9], None, "numbers"), node(lambda numbers: numbers, "numbers", "kept")])
    catalog = validated(tmp_path)
    monkeypatch.delenv("TREADLE_DATASET_VALIDATION")
    assert any_runner.run(pipeline, catalog)["kept"] == [10, 9]
