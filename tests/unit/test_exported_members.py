"""The public names of the package: complete, importable, and cheap."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import treadle

PUBLIC = {
    "AutoRunner",
    "Catalog",
    "Context",
    "DaskRunner",
    "Dataset",
    "MemoryDataset",
    "Node",
    "NodePolicy",
    "ParallelRunner",
    "Pipeline",
    "RunHandle",
    "RunResult",
    "Runner",
    "SequentialRunner",
    "ServiceSession",
    "Session",
    "ThreadRunner",
    "__version__",
    "bootstrap_project",
    "configure_project",
    "hook_impl",
    "inspect_project",
    "node",
    "pipeline",
}
HEAVY = {"click", "cloudpickle", "fsspec", "loky", "numpy", "omegaconf", "pandas", "rich", "sqlalchemy"}


def names_of_errors():
    from treadle import errors

    return {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__ and issubclass(value, BaseException)
    }


def test_the_list_is_what_is_documented():
    """The public names are these and the errors, each once."""
    assert set(treadle.__all__) == PUBLIC | names_of_errors()
    assert len(treadle.__all__) == len(set(treadle.__all__))


@pytest.mark.parametrize("name", treadle.__all__)
def test_every_name_can_be_imported(name):
    """Each public name is there, in dir() too."""
    assert getattr(treadle, name) is not None
    assert name in dir(treadle)


def test_what_type_checkers_see_is_what_is_imported():
    """The imports under TYPE_CHECKING are the table of lazy names, module by module."""
    tree = ast.parse(Path(treadle.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: imported.module
        for block in tree.body
        if isinstance(block, ast.If)
        for imported in block.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    assert seen == dict(treadle._MODULES)


def test_there_is_nothing_else():
    """A name that is not there is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'treadle' has no attribute 'Nothing'"):
        _ = treadle.Nothing


@pytest.mark.parametrize("statement", ["import treadle", "from treadle import Node, Pipeline, node, pipeline"])
def test_importing_it_is_cheap(statement):
    """Heavy libraries come with what needs them, not with the package (failure 20)."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in json.loads(out)}
    assert "treadle" in loaded
    assert not HEAVY & loaded


def test_the_name_pipeline_stays_the_function():
    """Importing the subpackage of the same name does not hide the function."""
    code = "import treadle.pipeline.node, treadle.session, treadle\nprint(treadle.pipeline.__class__.__name__)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out == "function\n"
