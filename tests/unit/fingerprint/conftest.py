"""A project on disk, imported anew for each state of its files, and the fingerprints of its nodes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from treadle.fingerprint import Fingerprinter
from treadle.project.code import code_stamp, forget_package


class Checkout:
    """A folder with source files of the package `shop`, which are imported anew at each call.

    Args:
        folder: the folder.
        files: the content of each file by path.
    """

    def __init__(self, folder, files):
        self.folder = Path(folder)
        for path, content in files.items():
            self.write(path, content)

    def write(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def replace(self, path, old, new):
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def load(self, module):
        """Import a module of the package anew, and all others with it."""
        forget_package("shop")
        sys.path[:] = [
            str(self.folder / "src"),
            *(each for each in sys.path if not each.endswith("/src") or "pytest" not in each),
        ]
        importlib.invalidate_caches()
        return importlib.import_module(module)

    def nodes(self):
        """Return the fingerprint of each node of the default pipeline, and what it computes."""
        pipeline = self.load("shop.pipeline_registry").register_pipelines()["__default__"]
        fingerprinter = Fingerprinter("shop", code_stamp("shop"))
        found = {node.name: fingerprinter.of(node.func) for node in pipeline.nodes}
        return found, {node.name: node.func([3, 1, 2]) for node in pipeline.nodes}

    def of(self, module, function="node"):
        """Return the fingerprint of one function of a module."""
        loaded = self.load(f"shop.{module}")
        return Fingerprinter("shop", code_stamp("shop")).of(getattr(loaded, function))


@pytest.fixture
def checkout(tmp_path, fresh_imports):
    """`checkout(files)`: a checkout of the package `shop` with these files in `src/shop`."""
    folders = iter(range(1000))

    def make(**modules):
        files = {f"src/shop/{name.replace('__', '/')}.py": content for name, content in modules.items()}
        files.setdefault("src/shop/__init__.py", modules.pop("init", ""))
        return Checkout(tmp_path / f"checkout-{next(folders)}", files)

    return make


@pytest.fixture
def fresh_imports(monkeypatch):
    """Import files as they are: without bytecode, which is chosen by the second of the modification."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    forget_package("shop")


@pytest.fixture(scope="session")
def checkout_class():
    """The class `Checkout`: a folder with the files of a project."""
    return Checkout
