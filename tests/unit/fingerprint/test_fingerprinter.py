"""What a fingerprint covers beyond the table of edits: each kind of callable, what cannot be followed, and bad input."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest

from treadle.fingerprint import Fingerprinter
from treadle.project.code import code_stamp
from treadle.secrets import register_secrets


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\ndef node(x):\n    return importlib.import_module(x)",
        "from importlib import import_module as load\ndef node(x):\n    return load(x)",
        "def node(x):\n    import importlib\n    return importlib.import_module(x)",
        "def node(x):\n    return eval(x)",
        "def node(x):\n    exec(x)",
        "def node(x):\n    return __import__(x)",
        "import sys\ndef node(x):\n    return sys.modules[x]",
        "class A:\n    pass\ndef node(x):\n    return A.__subclasses__()",
        "import pkgutil\ndef node(x):\n    return [*pkgutil.iter_modules(x)]",
    ],
)
def test_what_can_lead_anywhere_depends_on_every_module(checkout, source):
    """Where a function can reach any code of the project, every module counts, and a sentence says why."""
    one = checkout(nodes=source, plugins__a="def f():\n    return 1\n", plugins____init__="").of("nodes")
    other = checkout(nodes=source, plugins__a="def f():\n    return 2\n", plugins____init__="").of("nodes")
    assert one.digest != other.digest
    assert len(one.unknown) == 1
    assert "every module of the project" in one.unknown[0]
    assert one.is_complete
    assert "module shop.plugins.a" in one.parts


@pytest.mark.parametrize(
    "source",
    [
        "def node(x):\n    return globals()[x]()",
        "from shop import nodes\ndef node(x):\n    return getattr(nodes, x)()",
        "import sys\nM = sys.modules[__name__]\ndef node(x):\n    return vars(M)[x]()",
    ],
)
def test_any_name_of_a_module_depends_on_the_module_and_its_imports(checkout, source):
    """Where a function can use any name of a module, the module counts, and those that it imports, but no others."""
    source += "\nfrom shop.a import f\n"
    files = {"a": "from shop import b\ndef f():\n    return 1\n", "b": "K = 1", "c": "K = 1"}
    before = checkout(nodes=source, **files).of("nodes")
    assert checkout(nodes=source, **{**files, "b": "K = 2"}).of("nodes").digest != before.digest
    assert checkout(nodes=source, **{**files, "c": "K = 2"}).of("nodes").digest == before.digest
    assert "shop.nodes" in before.unknown[0]
    assert before.is_complete


@pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are a part of Python since 3.15")
@pytest.mark.parametrize(
    "source",
    [
        "lazy from shop.a import f\ndef node(x):\n    return f()",
        "lazy from shop import a\ndef node(x):\n    return a.f()",
        "from shop import c\ndef node(x):\n    return c.a.f()",
        "lazy from shop.a import A\ndef node(x: A):\n    return x.f()",
    ],
)
def test_lazy_imports_are_followed(checkout, source):
    """What a node imports lazily counts, and counts the same before and after the node has used it."""
    names = {"nodes": source, "c": "lazy from shop import a", "b": "K = 1"}
    one = checkout(**names, a="def f():\n    return 1\nclass A:\n    def f(self):\n        return 1\n")
    before = one.of("nodes")
    other = checkout(**names, a="def f():\n    return 2\nclass A:\n    def f(self):\n        return 2\n").of("nodes")
    assert before.digest != other.digest
    assert before.is_complete
    assert not before.unknown
    loaded = one.load("shop.nodes")
    loaded.node(importlib.import_module("shop.a").A())
    assert Fingerprinter("shop", code_stamp("shop")).of(loaded.node) == before


def test_an_import_with_a_constant_name_is_followed(checkout):
    """`import_module("shop.a")` depends on that module, and there is nothing to say."""
    source = "from importlib import import_module\ndef node():\n    return import_module('shop.a').f()"
    before = checkout(nodes=source, a="def f():\n    return 1", b="").of("nodes")
    assert checkout(nodes=source, a="def f():\n    return 2", b="").of("nodes").digest != before.digest
    assert checkout(nodes=source, a="def f():\n    return 1", b="K = 1").of("nodes").digest == before.digest
    assert before.unknown == ()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import itertools\nK = iter([1])\ndef node():\n    return next(K)", "global shop.nodes.K"),
        ("K = open(__file__)\ndef node():\n    return K.read()\nK.close()", "TextIOWrapper"),
        ("def make(source):\n    return lambda: next(source)\nnode = make(x for x in [1])", "generator"),
        ("def node(x=iter([1])):\n    return x", "default shop.nodes.node(x)"),
        ("from importlib.metadata import entry_points\ndef node():\n    return entry_points()", "entry_points"),
        ("K = []\nfor _ in range(300):\n    K = [K]\ndef node():\n    return K", "levels deep"),
        ("K = [object() for _ in range(100_001)]\ndef node():\n    return K", "100000 parts"),
    ],
)
def test_what_cannot_be_compared_always_runs(checkout, source, says):
    """A value that cannot be compared is named, and the fingerprint is not complete."""
    found = checkout(nodes=source).of("nodes")
    assert not found.is_complete
    assert len(found.unknown) == 1
    assert says in found.unknown[0]


def test_code_without_source(checkout, tmp_path):
    """A function that was made by exec is compared by its compiled code, and a sentence says so."""
    source = "names = {{'__name__': __name__}}\nexec('def node(x):\\n    return x + {}', names)\nnode = names['node']"
    one, same, other = (checkout(nodes=source.format(number)).of("nodes") for number in (1, 1, 2))
    assert one == same
    assert one.digest != other.digest
    assert one.is_complete
    assert "source of shop.nodes.node is not available" in one.unknown[0]


def test_code_edited_after_the_import(checkout):
    """What was imported counts, not what is on disk now: the fingerprint is not that of the edited file."""
    project = checkout(nodes="class A:\n    x: int = 1\ndef node(x):\n    return 1\ndef other(x):\n    return A(), 1\n")
    before, before_other = project.of("nodes"), project.of("nodes", "other")
    loaded = project.load("shop.nodes")
    stamp = code_stamp("shop")
    project.write(
        "src/shop/nodes.py", "class A:\n    x: float = 1\ndef node(x):\n    return 1 + 1\ndef other(x):\n    return A(), 1\n"
    )
    fingerprinter = Fingerprinter("shop", stamp)
    found, found_other = fingerprinter.of(loaded.node), fingerprinter.of(loaded.other)
    edited = project.of("nodes"), project.of("nodes", "other")
    assert len({before.digest, found.digest, edited[0].digest}) == 3
    assert "not what was imported" in found.unknown[0]
    assert len({before_other.digest, found_other.digest, edited[1].digest}) == 3
    assert not found_other.is_complete


def test_lines_inserted_after_the_import(checkout):
    """An edit above a function does not count: its code is still what was imported."""
    project = checkout(nodes="def node(x):\n    return 1\n")
    before = project.of("nodes")
    loaded = project.load("shop.nodes")
    project.write("src/shop/nodes.py", "K = 1\n\n\ndef node(x):\n    return 1\n")
    assert Fingerprinter("shop").of(loaded.node) == before


def test_a_file_that_is_no_python_any_more(checkout):
    """A file with a syntax error is no source: the compiled code is compared."""
    project = checkout(nodes="def node(x):\n    return 1\n")
    loaded = project.load("shop.nodes")
    project.write("src/shop/nodes.py", "def node(x:\n")
    assert "not available" in Fingerprinter("shop").of(loaded.node).unknown[0]


def test_secrets_are_never_readable(checkout):
    """Neither values with secret names, nor passwords in URLs, nor registered secrets can be read, but a change is seen."""
    source = (
        "API_KEY = 'k{0}-hunter2'\nURL = 'postgresql://me:pw{0}-hunter2@host/db'\nNOTE = 'x{0}-hunter2'\n"
        "CONF = {{'password': 'p{0}-hunter2'}}\n"
        "PIN = 123{0}\ndef node(token='t{0}-hunter2'):\n    return API_KEY, URL, NOTE, CONF, PIN\n"
    )
    register_secrets(["x1-hunter2"])
    one = checkout(nodes=source.format(1)).of("nodes")
    other = checkout(nodes=source.format(2)).of("nodes")
    changed = {label for label, value in one.parts.items() if other.parts[label] != value}
    assert changed == {
        *(f"global shop.nodes.{name}" for name in ("API_KEY", "URL", "NOTE", "CONF", "PIN")),
        "default shop.nodes.node(token)",
    }
    assert "hunter2" not in repr(one)
    assert "1231" not in repr([one, other])


def test_registering_a_secret_does_not_change_the_digest(checkout):
    """The digest does not depend on which secrets are known, because that may differ from run to run."""
    project = checkout(nodes="K = 'correct horse'\ndef node():\n    return K\n")
    before = project.of("nodes")
    assert before.parts["global shop.nodes.K"] == "'correct horse'"
    register_secrets(["correct horse"])
    after = project.of("nodes")
    assert after.digest == before.digest
    assert "horse" not in after.parts["global shop.nodes.K"]


def test_the_classes_of_what_a_function_returns(checkout):
    """A node that loads an object depends on the classes of the node that made it, and on what their methods use."""
    source = (
        "def rate():\n    return §\nclass Model:\n    def predict(self, x):\n        return x * rate()\n"
        "def node():\n    return Model()  # §\ndef load(model):\n    return model.predict(1)\n"
    )
    found = []
    for number in "12":
        loaded = checkout(nodes=source.replace("§", number)).load("shop.nodes")
        fingerprinter = Fingerprinter("shop")
        found.append(
            (fingerprinter.classes_of(loaded.node), fingerprinter.of(loaded.load), fingerprinter.classes_of(loaded.load))
        )
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]
    assert found[0][2] is None


def test_the_version_of_a_library_counts(checkout, monkeypatch):
    """Code outside the project counts by the version of its distribution."""
    import importlib.metadata

    project = checkout(
        nodes="import click\nfrom click.utils import echo as say\ndef node():\n    return click.style('x'), say('x')\n"
    )
    before = project.of("nodes")
    assert before.parts["distribution click"] == importlib.metadata.version("click")
    monkeypatch.setattr(type(importlib.metadata.distribution("click")), "version", "99.0")
    after = project.of("nodes")
    assert after.parts["distribution click"] == "99.0"
    assert after.digest != before.digest


def test_a_class_of_a_library_that_adds_attributes(checkout):
    """What a library adds to a class, as SQLAlchemy does, follows from its definition: that is compared, and not the addition."""
    found = []
    try:
        for size in (1, 1, 2):
            project = checkout(
                nodes=f"from tables import Table\nclass Row(Table):\n    size = {size}\ndef node():\n    return Row()\n"
            )
            project.write("src/tables.py", ADDING)
            found.append(project.of("nodes"))
    finally:
        sys.modules.pop("tables", None)
    assert found[0].is_complete
    assert found[0] == found[1]
    assert found[0].digest != found[2].digest


ADDING = """
class Registry:
    def __init__(self, kind):
        self.weak = iter([kind])

class Table:
    def __init_subclass__(cls):
        cls.registry = Registry(cls)
"""


def test_treadle_does_not_count(checkout):
    """An upgrade of Treadle alone runs nothing again."""
    found = checkout(nodes="from treadle import node as make, Pipeline\ndef node():\n    return make, Pipeline\n").of("nodes")
    assert set(found.parts) == {"callable", "function shop.nodes.node"}


def test_a_package_beside_the_project_counts_by_content(checkout):
    """Modules that no distribution contains count by the content of their files."""
    project = checkout(nodes="from aside import f\ndef node():\n    return f()\n")
    project.write("src/aside/__init__.py", "from aside.inner import f\n")
    project.write("src/aside/inner.py", "def f():\n    return 1\n")
    try:
        before = project.of("nodes")
        project.write("src/aside/inner.py", "def f():\n    return 2\n")
        after = project.of("nodes")
    finally:
        for name in ("aside", "aside.inner"):
            sys.modules.pop(name, None)
    assert before.parts["package aside"] != after.parts["package aside"]
    assert before.digest != after.digest


@pytest.mark.parametrize("function", [len, sorted, str.upper, "x".join, dict, importlib.import_module, threading.Thread.run])
def test_functions_that_are_not_the_project_s(function):
    """A function of the standard library has no part but its name."""
    found = Fingerprinter("shop").of(function)
    assert found.is_complete
    assert set(found.parts) == {"callable"}
    assert found.parts != Fingerprinter("shop").of(print).parts


def test_the_same_function_object_is_read_once(checkout, monkeypatch):
    """10,000 nodes of a few functions: each file is parsed once, each function is read once."""
    import functools

    from treadle.fingerprint import sources

    project = checkout(nodes="K = 1\ndef one(x, k):\n    return x + K\ndef node(x, k):\n    return one(x, k)\n")
    loaded = project.load("shop.nodes")
    parsed, read = [], []
    real_parse, real_dump = sources.ast.parse, sources.dump
    monkeypatch.setattr(sources.ast, "parse", lambda *args: parsed.append(args) or real_parse(*args))
    monkeypatch.setattr(sources, "dump", lambda *args, **options: read.append(args) or real_dump(*args, **options))
    fingerprinter = Fingerprinter("shop")
    found = [fingerprinter.of(functools.partial(loaded.node, k=number)) for number in range(10_000)]
    assert len({each.digest for each in found}) == 10_000
    Fingerprinter("shop").of(loaded.node)  # of the next run in this process
    assert (len(parsed), len(read)) == (1, 2)
