"""Databases that one process may have open: their nodes run where they can, under every runner and start method."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import NodeError
from treadle.planning.policies import read_policies

HERE = str(Path(__file__).parent)
TABLES = ("u", "v", "w", "x", "y", "z")


@pytest.fixture(scope="module")
def custom_datasets():
    """The datasets of `custom_datasets.py`, importable here and in workers."""
    sys.path.insert(0, HERE)
    import custom_datasets as module

    yield module
    sys.path.remove(HERE)


@pytest.fixture(scope="module")
def pipeline():
    """Six nodes that make a table each, and three that take two of them."""
    makers = [node(lambda number, by=position: number + by, "number", table) for position, table in enumerate(TABLES)]
    takers = [node(lambda one, two: one + two, [one, two], f"{one}{two}") for one, two in ("uv", "wx", "yz")]
    return Pipeline([*makers, *takers])


def _entries(path):
    return {
        table: {"type": "custom_datasets.LockingDatabase", "filepath": str(path), "table": f"{table}.txt"} for table in TABLES
    }


@pytest.mark.usefixtures("custom_datasets")
def test_a_known_database_needs_no_declaration(any_runner, pipeline, tmp_path):
    """A path that ends with .duckdb says enough: no two processes open the file."""
    catalog = Catalog.from_config(_entries(tmp_path / "x.duckdb"))
    result = any_runner.run(pipeline, catalog, inputs={"number": 1})
    assert [result[name] for name in ("uv", "wx", "yz")] == [3, 7, 11]


def test_datasets_that_code_made(any_runner, custom_datasets, pipeline, tmp_path):
    """The attributes of an object say it too."""
    catalog = Catalog({table: custom_datasets.LockingDatabase(tmp_path / "x.duckdb", f"{table}.txt") for table in TABLES})
    assert any_runner.run(pipeline, catalog, inputs={"number": 1})["yz"] == 11


@pytest.mark.usefixtures("custom_datasets")
def test_a_database_that_is_declared(any_runner, pipeline, tmp_path):
    """What nothing else says, `exclusive` does."""
    rules = read_policies({"exclusive": {"warehouse": ["[uvw]", "x", "y", "z"]}})
    catalog = Catalog.from_config(_entries(tmp_path / "x.db"))
    assert any_runner.run(pipeline, catalog, policies=rules, inputs={"number": 1})["yz"] == 11


@pytest.mark.usefixtures("custom_datasets")
def test_one_at_a_time(any_runner, pipeline, tmp_path):
    """Where each access opens and closes the thing, its nodes may run in any process, one after the other."""
    rules = read_policies({"exclusive": {"gate": {"datasets": list(TABLES), "run": "one_at_a_time"}}})
    entries = {table: {"type": "custom_datasets.Turnstile", "folder": str(tmp_path), "table": table} for table in TABLES}
    assert any_runner.run(pipeline, Catalog.from_config(entries), policies=rules, inputs={"number": 1})["yz"] == 11


@pytest.mark.usefixtures("custom_datasets")
def test_the_error_names_the_remedy(parallel_runner, tmp_path):
    """Where two processes open the file after all, the error says how to declare it."""
    path = tmp_path / "x.duckdb"
    rules = read_policies({"exclusive": {"warehouse": {"datasets": list(TABLES), "run": "free"}}})
    catalog = Catalog.from_config(_entries(path))
    catalog.save("u", 1)  # this process has it open from now on
    with pytest.raises(NodeError, match=r"Could not set lock on file(.|\n)*`exclusive` in conf/<env>/execution.yml"):
        parallel_runner.run(Pipeline([node(lambda u: u + 1, "u", "more")]), catalog, policies=rules)
