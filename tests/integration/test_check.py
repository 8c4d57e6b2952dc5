"""The pre-flight: every problem of a pipeline at once, found in a real worker under each start method."""

from __future__ import annotations

import os
import re
import threading

import pytest

from treadle import Catalog, Dataset, MemoryDataset, Pipeline, hook_impl, node
from treadle.errors import RunnerError
from treadle.execution.runners.preflight import check_pipeline
from treadle.hooks import create_hook_manager, register_hooks

LOCK = threading.Lock()


def identity(value):
    return value


class NotThere:
    """A function that pickles, and cannot be unpickled anywhere."""

    def __call__(self, value):
        return value

    def __reduce__(self):
        return int, ("not a number",)


class Deadly:
    """A function that ends the process that unpickles it."""

    def __call__(self, value):
        return value

    def __reduce__(self):
        return os._exit, (3,)


class OnlyHere(Dataset):
    """A dataset that cannot leave its process."""

    def __init__(self):
        self.lock = threading.Lock()

    def load(self):
        return 1

    def save(self, data):
        raise AssertionError


def make_catalog():
    catalog = Catalog.from_config(
        {
            "good": {"type": "text.TextDataset", "filepath": "nowhere.txt"},
            "typo": {"type": "text.TextDatset", "filepath": "x"},
            "key": {"type": "json.JSONDataset", "filepth": "x"},
            "secret": {"type": "json.JSONDataset", "filepath": "x", "credentials": "nobody"},
            "shared": {"type": "text.TextDataset", "filepath": "memory://x"},
        }
    )
    catalog["lock"] = OnlyHere()
    catalog.add_parameters({"depth": 1})
    return catalog


def test_nothing_is_wrong(start_method):
    """Functions of modules, lambdas and closures, and datasets of every kind pass, and nothing is run or loaded."""
    outer = 3
    pipeline = Pipeline(
        [
            node(identity, "good", "a", name="by_name"),
            node(lambda value: value + outer, "a", "b", name="by_value"),
            node(identity, "params:depth", "c", name="of_params"),
        ]
    )
    report = check_pipeline(pipeline, make_catalog(), start_method=start_method)
    assert report.problems == ()
    assert (report.nodes, report.datasets, report.start_method, report.in_main) == (3, 5, start_method, ())


def test_every_problem_at_once(start_method):
    """Each thing that would stop a node is told with its node, and none hides another."""

    def guarded(value):
        with LOCK:
            return value

    holds = threading.Lock()
    pipeline = Pipeline(
        [
            node(identity, "typo", "a", name="unknown_type"),
            node(identity, "key", "b", name="unknown_key"),
            node(identity, "key", "b2", name="unknown_key_too"),
            node(identity, "secret", "c", name="no_credentials"),
            node(identity, "goood", "d", name="missing_input"),
            node(identity, "params:dept", "e", name="missing_param"),
            node(lambda value: (value, holds), "good", "f", name="holds_a_lock"),
            node(NotThere(), "good", "g", name="not_there"),
            node(identity, "shared", "h", name="of_this_process"),
            node(identity, "lock", "i", name="of_a_lock"),
        ]
    )
    report = check_pipeline(pipeline, make_catalog(), start_method=start_method)
    found = {problem.nodes: problem for problem in report.problems}
    said = {nodes: problem.message for nodes, problem in found.items()}
    assert "Did you mean 'text.TextDataset'" in said["unknown_type",]
    assert "Did you mean 'filepath'" in said["unknown_key", "unknown_key_too"]
    assert "'nobody'" in said["no_credentials",]
    assert "Did you mean 'good'" in said["missing_input",]
    assert "Did you mean 'params:depth'" in said["missing_param",]
    assert "invalid literal" in said["not_there",]
    assert len(found) == len(report.problems) == 6
    assert report.in_main == ("holds_a_lock", "of_this_process", "of_a_lock")
    assert found["unknown_type",].dataset == "typo"


def test_a_worker_that_dies(start_method):
    """Code that ends the worker's process is told with the node it belongs to."""
    pipeline = Pipeline([node(identity, "good", "a", name="fine"), node(Deadly(), "a", "b", name="deadly")])
    (problem,) = check_pipeline(pipeline, make_catalog(), start_method=start_method).problems
    assert problem.nodes == ("deadly",)
    assert "later nodes were not checked" in problem.message


class LockedHooks:
    def __init__(self):
        self.lock = threading.Lock()

    @hook_impl
    def before_node_run(self, inputs):
        """Do nothing."""


def test_hooks_that_cannot_leave():
    """Hooks that neither pickle nor can be made anew are a problem of no node."""
    manager = create_hook_manager()
    register_hooks(manager, [LockedHooks()])
    (problem,) = check_pipeline(Pipeline([node(identity, "good", "a")]), make_catalog(), hooks=manager).problems
    assert problem.nodes == ()
    assert "LockedHooks" in problem.message


def test_an_unknown_start_method():
    """A start method that does not exist is an error, not a problem."""
    with pytest.raises(RunnerError, match="Did you mean 'spawn'"):
        check_pipeline(Pipeline([node(identity, "good", "a")]), Catalog({"good": MemoryDataset(1)}), start_method="spwan")


def test_the_command_on_a_project(make_loom, treadle, start_method):
    """`treadle check` passes a whole project, and nothing of it was run."""
    root = make_loom()
    done = treadle(root, "check", "--start-method", start_method)
    assert done.wait() == 0, done.output
    assert "No problem in 20 nodes" in done.output
    assert f"started by {start_method}" in done.output
    assert "node" not in (root / "tally.txt").read_text()
    assert not (root / ".treadle").exists()


def test_the_command_lists_problems(make_loom, treadle):
    """Broken settings of a worker, datasets and code are listed with their nodes and places, and the exit code is 1."""
    root = make_loom()
    (root / "conf" / "base" / "catalog_more.yml").write_text("known:\n  type: json.JSONDatast\n  filepath: x\n")
    done = treadle(root, "check")
    assert done.wait() == 1
    assert "nodes clean, spin" in done.output
    assert "catalog_more.yml, line 1: Dataset 'known' has an unknown type" in done.output
    assert "Traceback" not in done.output


def test_the_command_looks_at_files(make_loom, treadle):
    """An input whose file is missing and two entries that write one file are problems, with their place in the catalog."""
    root = make_loom()
    (root / "data" / "orders.csv").rename(root / "data" / "elsewhere.csv")
    catalog = root / "conf" / "base" / "catalog.yml"
    catalog.write_text(catalog.read_text().replace("ledger.txt", "report.txt"))
    done = treadle(root, "check")
    assert done.wait() == 1
    assert re.search(r"catalog.yml, line \d+: Dataset '\w+' has no data: .*data/orders.csv", done.output)
    assert re.search(r"catalog.yml, line \d+: Several datasets write the file .*data/report.txt", done.output)
    assert "2 problems" in done.output


def test_a_project_that_workers_cannot_import(make_loom, treadle):
    """A module that only the parent can import is found in the worker, with the project's own traceback."""
    root = make_loom()
    settings = root / "src" / "loom" / "settings.py"
    settings.write_text(
        settings.read_text() + "\nimport multiprocessing\nif multiprocessing.parent_process() is not None:\n    1 / 0\n"
    )
    done = treadle(root, "check", "--start-method", "spawn")
    assert done.wait() == 1
    assert "ZeroDivisionError" in done.output
    assert "settings.py" in done.output
