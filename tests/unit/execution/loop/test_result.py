"""RunResult: free outputs, each loaded on first access."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from treadle import Catalog, Dataset, Pipeline, RunResult, SequentialRunner, node
from treadle.errors import DatasetError
from treadle.execution.loop.result import gather_results
from treadle.execution.protocol.handles import Inline, LocalValue
from treadle.execution.values.budget import Budget
from treadle.execution.values.transfer import publish
from treadle.io.contents import content_of
from treadle.planning.reuse.decisions import Decisions
from treadle.planning.reuse.facts import LastSuccess, NodeFacts


class Counting(Dataset):
    def __init__(self):
        self.loads = 0

    def load(self):
        self.loads += 1
        return [self.loads]

    def save(self, data):
        raise AssertionError(data)


def open_files():
    gc.collect()  # closes memory maps that are no longer referenced
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_it_is_a_mapping_in_plan_order(tmp_path):
    """Names in order, values by name, and a repr that names them."""
    handles = {"b": publish([1], str(tmp_path)), "a": LocalValue("x")}
    result = RunResult("id", Catalog(), ("b", "a"), handles)
    assert dict(result) == {"b": [1], "a": "x"}
    assert list(result) == ["b", "a"]
    assert len(result) == 2
    assert result.run_id == "id"
    assert repr(result) == "RunResult(b, a)"
    assert "a" in result


def test_an_unknown_name_raises_an_error_that_lists_the_outputs():
    """A KeyError lists the free outputs."""
    with pytest.raises(KeyError, match=r"'x' is not a free output of this run; its free outputs are: a"):
        RunResult("id", Catalog(), ("a",), {"a": LocalValue(1)})["x"]
    with pytest.raises(KeyError, match=r"none"):
        RunResult("id", Catalog(), (), {})["x"]
    assert RunResult("id", Catalog(), (), {}).get("x", 5) == 5


def test_persistent_outputs_are_loaded_once_on_first_access():
    """The catalog loads them on first access; later accesses return the same object."""
    dataset = Counting()
    result = RunResult("id", Catalog({"a": dataset}), ("a",), {})
    assert dataset.loads == 0
    assert result["a"] is result["a"]
    assert dataset.loads == 1


def test_asking_for_a_name_loads_nothing():
    """`in` answers without loading the value, which may be large, or a file that was changed."""
    dataset = Counting()
    result = RunResult("id", Catalog({"a": dataset}), ("a",), {})
    assert "a" in result
    assert "b" not in result
    assert dataset.loads == 0


def test_values_are_loaded_once_and_their_files_closed(tmp_path):
    """Once a large value is loaded, only its memory map keeps the file open, for as long as the value exists."""
    before = open_files()
    result = RunResult("id", Catalog(), ("a",), {"a": publish(np.arange(100_000.0), str(tmp_path))})
    assert len(open_files()) == len(before) + 1
    value = result["a"]
    value[0] = 7
    assert result["a"] is value
    assert len(open_files()) == len(before) + 1
    del value, result
    assert open_files() == before


@pytest.mark.parametrize("spill", [False, True])
def test_a_result_that_is_never_loaded_closes_its_files(tmp_path, spill):
    """Garbage collection of a result frees its memory files and scratch files."""
    budget = Budget(str(tmp_path), 1, 0 if spill else 1 << 30)
    before = open_files()
    result = RunResult("id", Catalog(), ("a",), {"a": publish(np.arange(100_000.0), str(tmp_path), budget=budget)})
    del result
    assert open_files() == before
    assert list(tmp_path.glob("value-*")) == []


def test_a_value_that_cannot_be_unpickled_is_named():
    """If unpickling fails in the main process, the error names the output."""
    result = RunResult("id", Catalog(), ("a",), {"a": Inline(b"cnowhere_at_all\nThing\n.")})
    with pytest.raises(DatasetError, match=r"'a'.*cannot be unpickled in the main process: ModuleNotFoundError") as caught:
        result["a"]
    assert caught.value.dataset == "a"


@pytest.mark.parametrize("runs_another", [False, True])
def test_results_of_nodes_that_are_up_to_date(tmp_path, *, runs_another):
    """A file that was not touched is neither read nor is its dataset built; it is loaded later if it is still the same."""
    config = {name: {"type": "text.TextDataset", "filepath": str(tmp_path / f"{name}.txt")} for name in ("a", "b")}
    pipeline = Pipeline([node(lambda: "A", None, "a", name="make_a"), node(lambda: "B", None, "b", name="make_b")])
    first = Catalog.from_config(config)
    SequentialRunner().run(pipeline, first)
    facts = []
    for name in ("a", "b"):
        record = content_of(first[name], name)
        record = record._replace(taken_ns=record.taken_ns + 60_000_000_000)  # clearly newer than the file
        facts.append(NodeFacts(f"make_{name}", {}, (), (name,), LastSuccess("session", 1.0, {}, (record,))))
    if runs_another:
        facts[1] = facts[1]._replace(last=None)
    catalog = Catalog.from_config(config)
    results = [SequentialRunner().run(pipeline, catalog, decisions=Decisions(facts, {})) for _ in range(2)]
    assert list(catalog._datasets) == (["b"] if runs_another else [])
    assert dict(results[0]) == {"a": "A", "b": "B"}
    (tmp_path / "a.txt").write_text("changed")
    with pytest.raises(DatasetError, match=r"'a' of the run .* was written again"):
        results[1]["a"]


def test_values_of_a_run_whose_results_cannot_be_gathered_are_closed(tmp_path):
    """Such as one whose temporary file was deleted: the files of the other values do not stay open."""
    before = open_files()
    plan = SimpleNamespace(datasets=[SimpleNamespace(name=name, in_memory=True) for name in "ab"], results=(0, 1))

    def detach(_datasets, _values, handles):
        handles[0] = publish(np.arange(200_000.0), str(tmp_path))
        raise DatasetError("gone", dataset="b")

    with pytest.raises(DatasetError, match="gone"):
        gather_results("id", plan, Catalog(), detach)
    assert open_files() == before
