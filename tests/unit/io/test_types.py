from __future__ import annotations

import importlib
import importlib.util
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from treadle.errors import DatasetError
from treadle.io import types
from treadle.io.dataset import Dataset, capabilities_of
from treadle.io.memory import MemoryDataset
from treadle.io.types import KNOWN_TYPES, known_type, resolve_type


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder of importable packages, which are forgotten afterwards; an installed kedro_datasets that is loaded is hidden."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "kedro_datasets"]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", KNOWN_TYPES)
def test_our_short_names(name):
    """Each short name is a dataset class, also found by its full path, and the table tells its capabilities."""
    kind = resolve_type(name, "x")
    assert Dataset in kind.__mro__
    assert resolve_type(KNOWN_TYPES[name].path, "x") is kind
    assert KNOWN_TYPES[name].capabilities == capabilities_of(kind)
    assert known_type(name) is known_type(KNOWN_TYPES[name].path)


def test_a_class_is_its_own_type():
    """A class may stand where a name could."""
    assert resolve_type(MemoryDataset, "x") is MemoryDataset


def test_a_class_whose_module_another_thread_imports(package, monkeypatch):
    """A thread waits for the import of a dataset's module that another thread has begun, instead of not finding the class."""
    gate = SimpleNamespace(reached=threading.Event(), may_end=threading.Event())
    monkeypatch.setitem(sys.modules, "a_gate", gate)
    (package / "slow_types.py").write_text("import a_gate\na_gate.reached.set()\na_gate.may_end.wait(60)\nclass Slow: ...\n")
    happened = queue.SimpleQueue()

    def import_module(name):
        happened.put("imports")
        return importlib.import_module(name)

    monkeypatch.setattr(types, "importlib", SimpleNamespace(import_module=import_module, util=importlib.util))
    with ThreadPoolExecutor(2) as pool:
        importing = pool.submit(importlib.import_module, "slow_types")
        assert gate.reached.wait(60)
        resolving = pool.submit(resolve_type, "slow_types.Slow", "x")
        resolving.add_done_callback(lambda _future: happened.put("ends"))
        first = happened.get(timeout=60)
        gate.may_end.set()
    assert first == "imports"
    assert resolving.result() is importing.result().Slow


def test_full_path(package):
    """A type that is none of ours is the path of a class."""
    (package / "shop.py").write_text("class TillDataset:\n    pass\n")
    assert resolve_type("shop.TillDataset", "x").__name__ == "TillDataset"


def test_kedro_types(package):
    """A short name that is none of ours is looked for in kedro_datasets."""
    family = package / "kedro_datasets" / "loom"
    family.mkdir(parents=True)
    (package / "kedro_datasets" / "__init__.py").write_text("")
    (family / "__init__.py").write_text("__all__ = ['WarpDataset']\nclass WarpDataset:\n    pass\n")
    assert resolve_type("loom.WarpDataset", "x").__module__ == "kedro_datasets.loom"
    with pytest.raises(DatasetError, match=r"Did you mean 'loom.WarpDataset'"):
        resolve_type("loom.WrapDataset", "x")


def test_a_kedro_type_that_lacks_a_library(package):
    """A kedro_datasets type whose library is missing names the extra to install."""
    family = package / "kedro_datasets" / "loom"
    family.mkdir(parents=True)
    (package / "kedro_datasets" / "__init__.py").write_text("")
    (family / "__init__.py").write_text("def __getattr__(name):\n    import a_missing_library\n")
    with pytest.raises(DatasetError, match=r"'cloth'.*kedro-datasets\[loom\]") as caught:
        resolve_type("loom.WarpDataset", "cloth")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize("name", ["pandas.CSVDataSet", "CSVDataset", "pandas.CsvDataset"])
def test_close_matches(name):
    """A misspelt type is an error that names the dataset and the likely type."""
    with pytest.raises(DatasetError, match=r"'planes' has an unknown type.*Did you mean .*'pandas\.CSVDataset'") as caught:
        resolve_type(name, "planes")
    assert caught.value.dataset == "planes"


@pytest.mark.parametrize("name", [None, 5, "", "os.path.join", "nowhere.at.all.Dataset", "json.NoDataset"])
def test_no_type(name):
    """What is no class at all is an error that names the dataset."""
    with pytest.raises(DatasetError, match="'planes'"):
        resolve_type(name, "planes")


def test_a_module_that_breaks(package):
    """A type whose module raises says what it raised, and is not called unknown."""
    (package / "broken_shop.py").write_text("1 / 0\n")
    with pytest.raises(DatasetError, match=r"broken_shop cannot be imported: ZeroDivisionError"):
        resolve_type("broken_shop.TillDataset", "x")


def test_a_module_that_lacks_a_library(package):
    """A type whose module imports something missing names that, with the command to install it."""
    (package / "needy_shop.py").write_text("import a_missing_library\n")
    with pytest.raises(DatasetError, match=r"pip install a_missing_library"):
        resolve_type("needy_shop.TillDataset", "x")


def test_a_missing_extra(monkeypatch):
    """One of our types whose library is missing names our extra."""
    monkeypatch.setattr("treadle.io.types._is_installed", lambda name, path: False)
    with pytest.raises(DatasetError, match=r'pip install "treadle\[pandas\]"'):
        resolve_type("pandas.CSVDataset", "x")
