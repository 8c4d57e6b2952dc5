"""A result belongs to its run: what later runs write to the same file is never returned for it."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, SequentialRunner, node
from treadle.errors import DatasetError, UnknownNameError
from treadle.events import NodeFinished
from treadle.io.datasets.json import JSONDataset
from treadle.session import ServiceSession


@pytest.fixture
def pipeline():
    """One node whose free output goes to a file."""
    return Pipeline([node(lambda x: {"x": x}, "x", "report", name="report")])


@pytest.fixture
def catalog(tmp_path):
    """The free output's entry."""
    return Catalog.from_config({"report": {"type": "json.JSONDataset", "filepath": str(tmp_path / "report.json")}})


def test_a_later_run_over_the_same_file(any_runner, pipeline, catalog):
    """A result that was not loaded before another run wrote its file is an error, and the other run's is its own."""
    first = any_runner.run(pipeline, catalog, inputs={"x": 1})
    second = any_runner.run(pipeline, catalog, inputs={"x": 2})
    assert second["report"] == {"x": 2}
    with pytest.raises(DatasetError, match=f"'report' of the run {first.run_id} .* was written again .*load_results") as caught:
        first["report"]
    assert caught.value.dataset == "report"
    assert second["report"] == {"x": 2}


def test_results_loaded_as_the_run_ends(any_runner, pipeline, catalog):
    """`load_results` keeps them, whatever happens to the file later; a wrong name is an error before anything runs."""
    first = any_runner.run(pipeline, catalog, inputs={"x": 1}, load_results=True)
    second = any_runner.run(pipeline, catalog, inputs={"x": 2}, load_results=["report"])
    Path(catalog["report"].filepath).unlink()
    assert (first["report"], second["report"]) == ({"x": 1}, {"x": 2})
    with pytest.raises(UnknownNameError, match="Did you mean 'report'"):
        any_runner.run(pipeline, catalog, inputs={"x": 3}, load_results=["repotr"])
    assert not catalog.exists("report")


def test_a_file_written_again_before_the_run_ends(any_runner, pipeline, catalog):
    """A result that another run overwrote before it could be loaded is an error that does not advise what was done."""

    def write_again(event):
        if isinstance(event, NodeFinished):
            Path(catalog["report"].filepath).write_text('{"x": 99}')

    with pytest.raises(DatasetError, match=r"was written again .* too late for load_results: .* with one runner") as caught:
        any_runner.run(pipeline, catalog, inputs={"x": 1}, observers=(write_again,), load_results=True)
    assert "load_results=True" not in str(caught.value)


def test_equal_data_written_again(any_runner, pipeline, catalog):
    """Another run that wrote the same bytes changes nothing."""
    first = any_runner.run(pipeline, catalog, inputs={"x": 1})
    any_runner.run(pipeline, catalog, inputs={"x": 1})
    assert first["report"] == {"x": 1}


def test_versions_are_files_of_their_own(any_runner, pipeline, tmp_path):
    """Runs that save versions do not disturb one another."""
    entry = {"type": "json.JSONDataset", "filepath": str(tmp_path / "report.json"), "versioned": True}
    catalog = Catalog.from_config({"report": entry})
    first, second = (any_runner.run(pipeline, catalog, inputs={"x": x}) for x in (1, 2))
    assert (first["report"], second["report"]) == ({"x": 1}, {"x": 2})


@pytest.mark.parametrize("change", ["write", "remove", "touch", "folder"])
def test_a_file_that_was_changed_by_hand(pipeline, catalog, tmp_path, change):
    """Changed bytes and a removed file are errors that say so; a new time with the same bytes is not."""
    result = SequentialRunner().run(pipeline, catalog, inputs={"x": 1})
    file = tmp_path / "report.json"
    if change == "touch":
        os.utime(file, ns=(1, 1))
        assert result["report"] == {"x": 1}
        return
    file.unlink()
    if change == "write":
        file.write_text('{"x": 5}')
    elif change == "folder":
        file.mkdir()
    with pytest.raises(DatasetError, match="was removed after" if change == "remove" else "was written again after"):
        result["report"]


def test_partitions(any_runner, tmp_path):
    """A folder of partitions is identified by all its files."""
    entry = {"type": "partitions.PartitionedDataset", "path": str(tmp_path / "parts"), "dataset": "text.TextDataset"}
    pipeline = Pipeline([node(lambda x: {"a": x, "b": x}, "x", "parts")])
    catalog = Catalog.from_config({"parts": entry})
    first = any_runner.run(pipeline, catalog, inputs={"x": "one"})
    assert {name: part() for name, part in first["parts"].items()} == {"a": "one", "b": "one"}
    first = any_runner.run(pipeline, catalog, inputs={"x": "one"})
    any_runner.run(pipeline, catalog, inputs={"x": "two"})
    with pytest.raises(DatasetError, match="was written again"):
        first["parts"]


def test_a_generator_s_file(any_runner, tmp_path):
    """What a generator saves last is what its file is identified by."""
    catalog = Catalog({"last": JSONDataset(tmp_path / "last.json")})
    pipeline = Pipeline([node(_count, "x", "last")])
    assert any_runner.run(pipeline, catalog, inputs={"x": 3})["last"] == 2


def _count(x):
    yield from range(x)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_two_runners_at_the_same_time(method, pipeline, catalog, tmp_path):
    """A file that another runner replaces between a node's save and the end of its run is not taken for the run's own."""
    reached, opened = tmp_path / "reached", tmp_path / "opened"
    os.mkfifo(reached)
    os.mkfifo(opened)
    slow = pipeline + Pipeline([node(_wait, ["params:gate", "x"], "waited", name="wait")])
    given = {"x": 1, "params:gate": [str(reached), str(opened)]}
    with ParallelRunner(1, start_method=method) as runner, ThreadPoolExecutor(1) as pool:
        # One worker: the report is saved before the other node begins, which comes after it in the plan.
        future = pool.submit(runner.run, slow, catalog, inputs=given)
        reached.read_text()
        SequentialRunner().run(pipeline, catalog, inputs={"x": 2})
        opened.write_text("go")
        result = future.result()
    with pytest.raises(DatasetError, match="was written again"):
        result["report"]


def _wait(gate, x):
    Path(gate[0]).write_text("here")
    return Path(gate[1]).read_text()


@pytest.fixture
def service(make_loom, in_project, runner_for, way):
    """A service whose runs all save to one file."""
    root = make_loom()
    (root / "conf/base/catalog_joined.yml").write_text("joined:\n  type: pickle.PickleDataset\n  filepath: data/joined.pkl\n")
    with in_project(root), runner_for(way) as runner, ServiceSession.create(runner=runner, save_on_close=False) as made:
        yield made


def ask(service, day, **how):
    """Run once, and read the answer later: the day that it is of, or None where the file was another run's by then."""
    result = service.run("batch", extra_params={"day": day}, **how)
    try:
        return result["joined"]["day"]
    except DatasetError:
        return None


def test_threads_of_one_service(service):
    """Threads that ask one service get their own run's answer or an error."""
    days = range(1, 9)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda day: ask(service, day), days))
    assert all(answer in (day, None) for day, answer in zip(days, answers, strict=True))


def test_threads_that_take_their_results(service, caplog):
    """With `load_results` each gets its own answer, and nothing is logged."""
    days = list(range(1, 9))
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda day: ask(service, day, load_results=True), days))
    assert answers == days
    assert not caplog.records
