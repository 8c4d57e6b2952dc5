"""What the catalog names and workers cannot import is pickled, and nothing else."""

from __future__ import annotations

import pickle
import sys
import threading
from types import ModuleType

import pytest

from treadle.execution.packing.dataset_types import pickled_definitions, pickled_with_classes
from treadle.io.recipe import DatasetRecipe


@pytest.fixture
def loose(monkeypatch):
    """A module that workers cannot import; functions and locks are in it."""
    module = ModuleType("loose_checks")
    module.locked, module.shout = threading.Lock(), str.upper
    monkeypatch.setitem(sys.modules, "loose_checks", module)
    return module


@pytest.mark.usefixtures("loose")
def test_a_validator_that_cannot_be_pickled_holds_up_no_other():
    """The node that needs it reports it; those that need others run."""
    (pickled,) = pickled_definitions(["loose_checks.locked", "loose_checks.shout", "loose_checks.shout", "operator.add"])
    assert pickle.loads(pickled)("a") == "A"


def test_an_argument_that_looks_like_a_path_imports_nothing(tmp_path, monkeypatch):
    """`dataset` is the name of a table in some libraries; a type that is not imported here is imported in workers."""
    (tmp_path / "shop_tables.py").write_text("class Orders: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"type": "pandas.CSVDataset", "filepath": "file", "dataset": "shop_tables.Orders"}
    assert pickled_with_classes(DatasetRecipe("orders", config)) is None
    assert "shop_tables" not in sys.modules
