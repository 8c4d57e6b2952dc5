"""A project without source files: compiled modules only, or an archive. A change is seen, or the node always runs."""

from __future__ import annotations

import importlib
import py_compile
import sys
import zipfile

import pytest

from treadle.fingerprint import Fingerprinter
from treadle.project.code import forget_package

HELPERS = "from dataclasses import dataclass\n\ndef f():\n    return §\n\n@dataclass\nclass Model:\n    a: int = §\n"
WAYS = {
    "a name": "from shop.inner.b import f\ndef node():\n    return f()\n",
    "a class": "from shop.inner.b import Model\ndef node():\n    return Model()\n",
    "a local import": "def node():\n    from shop.inner.b import f\n    return f()\n",
    "a relative import": "def node():\n    from .inner.b import f\n    return f()\n",
    "a local import of a module": "def node():\n    import shop.inner.b\n    return shop.inner.b.f()\n",
    "a local import of a module of a package": "def node():\n    from shop.inner import b as other\n    return other.f()\n",
    "a module as a value": "from shop.inner import b\ndef node(name):\n    return getattr(b, name)()\n",
    "a dynamic import": "import importlib\ndef node(name):\n    return importlib.import_module(name).f()\n",
    "a dynamic import that is imported in the function": (
        "def node(name):\n    from importlib import import_module\n    return import_module(name).f()\n"
    ),
}


@pytest.fixture
def project(tmp_path, monkeypatch, fresh_imports):
    """`project(kind, nodes, number)`: the fingerprint of the node of a project of that kind with the number in place of §."""
    path = [*sys.path]
    folders = iter(range(100))

    def make(kind, nodes, number):
        files = {"__init__.py": "", "a.py": nodes, "inner/__init__.py": "", "inner/b.py": HELPERS.replace("§", number)}
        folder = tmp_path / str(next(folders))
        for name, text in files.items():
            file = folder / "shop" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            if kind == "compiled":
                py_compile.compile(str(file), cfile=str(file.with_suffix(".pyc")), doraise=True)
                file.unlink()
        if kind == "archive":
            with zipfile.ZipFile(folder / "shop.zip", "w") as archive:
                for name in files:
                    archive.write(folder / "shop" / name, f"shop/{name}")
            folder /= "shop.zip"
        monkeypatch.setattr(sys, "path", [str(folder), *path])
        forget_package("shop")
        importlib.invalidate_caches()
        return Fingerprinter("shop").of(importlib.import_module("shop.a").node)

    yield make
    forget_package("shop")


@pytest.mark.parametrize("kind", ["source", "compiled", "archive"])
@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_seen_or_the_node_always_runs(kind, way, project):
    """In particular the change of a module that only an import in the function, or a module as a value, leads to."""
    before, changed, again = (project(kind, WAYS[way], number) for number in "121")
    assert before.digest == again.digest or not again.is_complete
    assert before.digest != changed.digest or not changed.is_complete
    assert changed.is_complete or "always runs" in " ".join(changed.unknown)
    assert changed.is_complete or kind != "source"
    if way in {"a name", "a class"}:
        assert changed.is_complete
