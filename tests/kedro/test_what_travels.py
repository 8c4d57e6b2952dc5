"""Problems 10 to 13 of Kedro's parallel runner: objects that it cannot send to workers, or that it changes."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


def node(*arguments, **options):
    """Make a Kedro node."""
    from kedro.pipeline import node as kedro_node

    return kedro_node(*arguments, **options)


def test_10_threads_alive_and_no_fork(knots, monkeypatch):
    """10: while threads are alive, a start method that nobody asked for is not fork."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import pipeline

    from treadle.kedro import ParallelRunner

    monkeypatch.delenv("TREADLE_START_METHOD", raising=False)
    monkeypatch.delenv("KEDRO_MP_CONTEXT", raising=False)
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        runner = ParallelRunner(max_workers=1)
        outputs = runner.run(pipeline([node(knots.pid, "a", "b")]), DataCatalog({"a": MemoryDataset(1)}))
        assert outputs["b"].load() != os.getpid()
        assert "fork'" not in repr(runner)
    finally:
        over.set()
        thread.join()


def test_10_datasets_that_do_not_pickle_are_rebuilt_from_configuration(method, knots, tmp_path):
    """10: a configured dataset that holds a connection is made again in the worker, credentials included."""
    from kedro.io import DataCatalog
    from kedro.pipeline import pipeline

    from treadle.kedro import ParallelRunner

    source = str(Path(__file__).parent / "projects" / "mill" / "src")
    sys.path.insert(0, source)
    try:
        entry = {"type": "mill.datasets.LockedDataset", "filepath": str(tmp_path / "locked"), "credentials": "vault"}
        catalog = DataCatalog.from_config({"locked": entry, "text": {"type": "MemoryDataset"}}, {"vault": {"key": "sesame"}})
        catalog["text"] = "hello"
        nodes = [
            node(str.upper, "text", "locked", name="write"),
            node(str.lower, "locked", "quiet", name="read"),
            node(knots.pid, "locked", "where", name="where"),
        ]
        outputs = ParallelRunner(max_workers=2, start_method=method).run(pipeline(nodes), catalog)
        assert outputs["quiet"].load() == "hello"
        assert outputs["where"].load() != os.getpid()
        assert (tmp_path / "locked").read_text() == "sesameHELLO"
    finally:
        sys.path.remove(source)


def test_11_lambdas_and_closures_run_in_workers(run):
    """11: functions that have no name to import run in workers like any other."""
    factor = 7

    def closing(value):
        return value * factor, os.getpid()

    outputs = run([node(lambda a: a + 1, "a", "b"), node(closing, "b", "c")], {"a": 1})
    assert outputs["c"][0] == 14
    assert outputs["c"][1] != os.getpid()


def test_11_a_function_that_cannot_travel_runs_in_the_parent(run):
    """11: a function that holds a lock runs in the main process, and the run goes on."""
    lock = threading.Lock()

    def locking(value):
        with lock:
            return value, os.getpid()

    outputs = run([node(lambda a: a + 1, "a", "b"), node(locking, "b", "c")], {"a": 1})
    assert outputs["c"] == (2, os.getpid())


def test_12_arrays_arrive_writable(run, knots):
    """12: an array that came from another process can be written, and nobody else sees it."""
    import numpy as np

    nodes = [
        node(knots.one_more, "array", "more", name="more"),
        node(knots.write_into, "more", "first", name="first"),
        node(knots.write_into, "more", "second", name="second"),
        node(knots.describe, "more", "whole", name="whole"),
    ]
    outputs = run(nodes, {"array": np.zeros(200_000)})
    assert outputs == {"first": 100.0, "second": 100.0, "whole": ("ndarray", 200_000.0)}


def test_13_an_unrelated_dataset_blocks_nothing(run, knots):
    """13: a catalog entry that does not pickle and that no node uses does not matter; one that is used runs at home."""
    dataset = knots.UnpicklableDataset(5)
    assert run([node(knots.times_two, "a", "b")], {"a": 1, "unrelated": dataset}) == {"b": 2}
    assert run([node(knots.pid, "mine", "where")], {"mine": dataset}) == {"where": os.getpid()}


def test_a_database_that_one_process_may_open(method, knots, tmp_path):
    """The nodes that use one file of DuckDB run in the main process, and the others in workers."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import pipeline

    from treadle.kedro import ParallelRunner

    source = str(Path(__file__).parent / "projects" / "mill" / "src")
    sys.path.insert(0, source)
    try:
        from mill.datasets import LockingDatabase

        tables = {name: LockingDatabase(str(tmp_path / "x.duckdb"), f"{name}.txt") for name in "abcd"}
        catalog = DataCatalog({**tables, "text": MemoryDataset("hello")})
        nodes = [
            *(node(str.upper, "text", name, name=f"make_{name}") for name in "abcd"),
            *(node(str.lower, name, f"quiet_{name}", name=f"take_{name}") for name in "abcd"),
            node(knots.pid, "text", "where", name="where"),
        ]
        outputs = ParallelRunner(max_workers=2, start_method=method).run(pipeline(nodes), catalog)
        assert {outputs[f"quiet_{name}"].load() for name in "abcd"} == {"hello"}
        assert outputs["where"].load() != os.getpid()
    finally:
        sys.path.remove(source)


UNIMPORTABLE = """
from pathlib import Path
from kedro.io import AbstractDataset

class Kept(AbstractDataset):
    def __init__(self, filepath):
        self._path = Path(filepath)

    def load(self):
        return self._path.read_text()

    def save(self, data):
        self._path.write_text(data)

    def _describe(self):
        return {}

def make():
    class Made(Kept):
        pass

    return Made

Made = make()

def shout(value):
    return value.upper()
"""


def test_types_of_datasets_that_workers_cannot_import(warm_runner, tmp_path, unimportable):
    """A catalog names classes and validators of a script, a notebook or a file by their paths, also inside of other datasets."""
    from kedro.io import DataCatalog
    from kedro.pipeline import pipeline

    unimportable(UNIMPORTABLE)
    inner = {"type": "unimportable.Made"}  # not its own name
    has_validators = importlib.util.find_spec("kedro.validation") is not None  # Kedro 1.6 or later
    validator = {"validator": "unimportable.shout"} if has_validators else {}
    catalog = DataCatalog.from_config(
        {
            "text": {"type": "unimportable.Kept", **validator, "filepath": str(tmp_path / "text")},
            "memory": {"type": "MemoryDataset", **validator},
            "parts": {"type": "partitions.PartitionedDataset", "path": str(tmp_path / "parts"), "dataset": inner},
        }
    )
    nodes = [
        node(lambda: "x", None, "text"),
        node(lambda text: f"{text}y", "text", "memory"),
        node(lambda memory: {"part": memory}, "memory", "parts"),
        node(lambda parts: {name: load() for name, load in parts.items()}, "parts", "end"),
    ]
    (tmp_path / "parts").mkdir()
    outputs = warm_runner.run(pipeline(nodes), catalog)
    assert outputs["end"].load() == {"part": "XY" if has_validators else "xy"}


GENERATED = """
import os
import threading
from kedro.io import AbstractDataset

def make():
    lock = threading.Lock()

    class Process(AbstractDataset):
        def __init__(self, filepath):
            self._path = filepath

        def load(self):
            with lock:
                return os.getpid()

        def save(self, data):
            pass

        def _describe(self):
            return {}

    return Process

Process = make()
"""


def test_a_generated_type_that_workers_can_import(method, tmp_path, monkeypatch):
    """Workers import it by its path in the catalog, although neither a pickle nor its own name leads to it."""
    from kedro.io import DataCatalog
    from kedro.pipeline import pipeline

    from treadle.kedro import ParallelRunner

    (tmp_path / "generated_kedro_types.py").write_text(GENERATED)
    monkeypatch.delitem(sys.modules, "generated_kedro_types", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("generated_kedro_types")  # as an earlier run, or the project, does
    catalog = DataCatalog.from_config({"process": {"type": "generated_kedro_types.Process", "filepath": "file"}})
    outputs = ParallelRunner(max_workers=2, start_method=method).run(pipeline([node(abs, "process", "loaded_in")]), catalog)
    assert outputs["loaded_in"].load() != os.getpid()
