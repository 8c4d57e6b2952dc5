"""Modules that another thread is importing: they are in `sys.modules`, but have no names yet."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from treadle.errors import DatasetError
from treadle.execution.processes.watchdog import Watchdog
from treadle.execution.values.importable import is_found_by_name
from treadle.io import Catalog, Dataset


@pytest.fixture
def begin_import(monkeypatch):
    """`begin_import(name)`: let `sys.modules` look as after the first step of the import of a module."""

    def begin(name):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__spec__._initializing = True
        monkeypatch.setitem(sys.modules, name, module)

    return begin


def test_a_pool_starts_its_watchdog(begin_import, tmp_path):
    """Another thread starts a pool for the first time, or uses multiprocessing."""
    begin_import("multiprocessing.spawn")
    watchdog = Watchdog(str(tmp_path))
    assert watchdog._process.args[4] == sys.executable
    watchdog.close()


def test_a_function_is_found(begin_import):
    """Another thread pickles a function of the main script for the first time."""
    begin_import("cloudpickle")
    assert is_found_by_name(Watchdog)


def test_a_dataset_fails(begin_import):
    """Another thread loads a JSON file for the first time."""

    class Broken(Dataset):
        def load(self):
            raise ValueError("broken")

        def save(self, data):
            raise NotImplementedError

    begin_import("json")
    with pytest.raises(DatasetError, match="broken"):
        Catalog({"x": Broken()}).load("x")
