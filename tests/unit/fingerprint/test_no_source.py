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
IN_PACKAGE = "def node():\n    from ..inner.b import f\n    return f()\n"
WAYS = {
    "a name": "from shop.inner.b import f\ndef node():\n    return f()\n",
    "a class": "from shop.inner.b import Model\ndef node():\n    return Model()\n",
    "a local import": "def node():\n    from shop.inner.b import f\n    return f()\n",
    "a relative import": "def node():\n    from .inner.b import f\n    return f()\n",
    "a local import of a module": "def node():\n    import shop.inner.b\n    return shop.inner.b.f()\n",
    "a local import of a module of a package": "def node():\n    from shop.inner import b as other\n    return other.f()\n",
    "a relative import of a module of a package": "def node():\n    from .inner import b\n    return b.f()\n",
    "a relative import from a package that is imported": (
        "import shop.inner\ndef node():\n    from .inner import b\n    return b.f()\n"
    ),
    "an import after very many names": (
        "import shop.inner\ndef node(x):\n    "
        + "".join(f"x.a{number} = {number}.5; " for number in range(300))
        + "\n    from .inner import b\n    return b.f()\n"
    ),
    "a function of a package": "from shop.inner import node\n",
    "a module as a value": "from shop.inner import b\ndef node(name):\n    return getattr(b, name)()\n",
    "a dynamic import": "import importlib\ndef node(name):\n    return importlib.import_module(name).f()\n",
    "a dynamic import that is imported in the function": (
        "def node(name):\n    from importlib import import_module\n    return import_module(name).f()\n"
    ),
    "a module from a file": (
        "import importlib.util\ndef node(path):\n    return importlib.util.spec_from_file_location('b', path).loader\n"
    ),
    "a module from a file, imported in the function": (
        "def node(path):\n    import importlib.util as u\n    return u.spec_from_file_location('b', path).loader\n"
    ),
    "entry points": "def node():\n    import importlib.metadata\n    return importlib.metadata.entry_points()\n",
}


LEAD_ANYWHERE = {"a module from a file", "a module from a file, imported in the function", "entry points"}
"""Their nodes always run."""


@pytest.fixture
def project(tmp_path, monkeypatch, fresh_imports):
    """`project(kind, nodes, number)`: the fingerprint of the node of a project of that kind with the number in place of §."""
    path = [*sys.path]
    folders = iter(range(100))

    def make(kind, nodes, number):
        files = {
            "__init__.py": "",
            "a.py": nodes,
            "inner/__init__.py": IN_PACKAGE if "inner import node" in nodes else "",
            "inner/b.py": HELPERS.replace("§", number),
        }
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
    assert changed.is_complete or kind != "source" or way in LEAD_ANYWHERE
    assert not changed.is_complete or way not in LEAD_ANYWHERE
    if way in {"a name", "a class"}:
        assert changed.is_complete


def test_a_folder_that_is_gone_is_no_archive(project):
    """Nor is what an editable install of a namespace package adds to its path; modules are found in the other folders."""
    nodes = WAYS["a dynamic import"]
    project("source", nodes, "1")
    sys.modules["shop"].__path__.append("/gone/shop")
    assert Fingerprinter("shop").of(sys.modules["shop.a"].node).is_complete
