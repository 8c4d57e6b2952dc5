"""Edits that reach the function `node` in a roundabout way: each pair of sources computes something else, or may."""

from __future__ import annotations

import sys

import pytest

from treadle.fingerprint import Fingerprinter
from treadle.observe.store.plain import plain_value
from treadle.project.code import code_stamp

MODEL = "class Model:\n    def fit(self):\n        return §\n"
HELPER = "def help():\n    return §\n"

ANNOTATIONS = {
    "imported for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.b import Model\n"
        "def node(m: 'Model'):\n    return m.fit()\n"
    ),
    "a module imported for type checkers": (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop import b\n"
        "def node(m: b.Model | None):\n    return m.fit()\n"
    ),
    "a whole path imported for type checkers": (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop.b as other\n"
        "def node(m: other.Model):\n    return m.fit()\n"
    ),
    "an alias": "from shop import b\nModels = list[b.Model]\ndef node(m: Models):\n    return m[0].fit()\n",
    "a nested alias": (
        "from typing import Annotated, Optional\nfrom shop import b\nM = Annotated[Optional[b.Model], 'x']\nMs = dict[str, M]\n"
        "def node(m: Ms):\n    return m['a'].fit()\n"
    ),
    "a bound type variable": (
        "from typing import TypeVar\nfrom shop import b\nM = TypeVar('M', bound=b.Model)\n"
        "def node(m: M) -> M:\n    return m.fit()\n"
    ),
    "a constrained type variable": (
        "from typing import TypeVar\nfrom shop import b\nM = TypeVar('M', b.Model, int)\n"
        "def node(m: M) -> M:\n    return m.fit()\n"
    ),
    "a new type": (
        "from typing import NewType\nfrom shop import b\nM = NewType('M', b.Model)\ndef node(m: M):\n    return m.fit()\n"
    ),
    "a local variable": "from shop import b\ndef node(x):\n    m: b.Model = x\n    return m.fit()\n",
    "a field, as text": (
        "from dataclasses import dataclass\nfrom shop import b\n@dataclass\nclass P:\n    models: 'list[b.Model]'\n"
        "def node(p: P):\n    return p.models[0].fit()\n"
    ),
    "a decorated function, as text": (
        "from shop import b\ndef same(f):\n    return f\n@same\ndef node(m: 'b.Model'):\n    return m.fit()\n"
    ),
}
"""Annotations that name a class of the project, whose methods the function calls."""

IMPORTS = {
    "a function in a variable": (
        "import importlib\nload = importlib.import_module\ndef node():\n    return load('shop.b').help()\n"
    ),
    "a function in a list": "import importlib\nL = [importlib.import_module]\ndef node():\n    return L[0]('shop.b').help()\n",
    "a function in a partial": (
        "import functools, importlib\nload = functools.partial(importlib.import_module, 'shop.b')\n"
        "def node():\n    return load().help()\n"
    ),
    "a function as a default": (
        "from importlib import import_module\ndef node(load=import_module):\n    return load('shop.b').help()\n"
    ),
    "eval in a variable": "run = eval\ndef node():\n    import sys\n    return run('sys.modules')['shop.b'].help()\n",
    "the names of a module": "from shop import b\ndef node(name):\n    return b.__dict__[name]()\n",
    "the globals of a function": "from shop.b import other\ndef node(name):\n    return other.__globals__[name]()\n",
    "the globals of a frame": "import sys\nfrom shop import b\ndef node(name):\n    return sys._getframe(1).f_globals[name]()\n",
    "the module of a function": (
        "import inspect\nfrom shop.b import other\ndef node(name):\n    return getattr(inspect.getmodule(other), name)()\n"
    ),
}
"""Ways to the function `help` of the module `shop.b`."""

VALUES = {
    "the length of a deque": "import collections\nD = collections.deque([1], maxlen=§)\ndef node():\n    return D\n",
    "a generic class with an argument": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass A(Generic[T]):\n"
        "    def fit(self):\n        return §\nB = A[int]\n"
        "def node():\n    return B().fit()\n"
    ),
    "the default of a context variable": (
        "from contextvars import ContextVar\nV = ContextVar('V', default=§)\ndef node():\n    return V.get()\n"
    ),
    "the value of a context variable": (
        "from contextvars import ContextVar\nV = ContextVar('V')\nV.set([§])\ndef node():\n    return V.get()\n"
    ),
    "a method of a logger": (
        "import logging\nclass Mine(logging.Logger):\n    def level_of(self):\n        return §\nL = Mine('x')\n"
        "def node():\n    return L.level_of()\n"
    ),
    "an attribute of a thread's data": (
        "import threading\nclass Mine(threading.local):\n    level = §\nL = Mine()\ndef node():\n    return L.level\n"
    ),
    "an attribute of a member of an enumeration": (
        "import enum\nclass E(enum.Enum):\n    A = 1\nE.A.weight = §\ndef node():\n    return E.A.weight\n"
    ),
    "a dataclass made by a call": (
        "import dataclasses\nA = dataclasses.make_dataclass('A', [('x', int, §)])\ndef node():\n    return A().x\n"
    ),
    "a name in a query": "LIMIT = §\ndef node(table):\n    return table.query('price > @LIMIT and price < 9')\n",
    "a helper in a query": (
        "def limit():\n    return §\ndef node(table, column):\n    return table.query(f'{column} > @limit()')\n"
    ),
    "an attribute in a query": "class conf:\n    limit = §\ndef node(table):\n    return table.query('price > @conf.limit')\n",
    "a function made by exec": (
        "made = {}\nexec('def help(x):\\n    return x + §', made)\nhelp = made['help']\ndef node(x):\n    return help(x)\n"
    ),
    "a value that a function made by exec uses": (
        "made = {'more': §}\nexec('def help(x):\\n    return x + more', made)\nhelp = made['help']\n"
        "def node(x):\n    return help(x)\n"
    ),
    "a helper of a function made by exec": (
        "def more():\n    return §\nmade = {'more': more}\nexec('def help(x):\\n    return help(x - 1) + more()', made)\n"
        "help = made['help']\ndef node(x):\n    return help(x)\n"
    ),
    "a template": "import jinja2\nT = jinja2.Template('{{ x }} and §')\ndef node(x):\n    return T.render(x=x)\n",
    "the function's own module, imported in it": (
        "def help():\n    return §\ndef node(name):\n    import shop.nodes as own\n    return getattr(own, name)()\n"
    ),
}
"""Values and code in the module of the function."""


def digests(checkout, nodes, one="1", other="2", **modules):
    """Return the digest of `node` if § is the one or the other text, in all modules."""
    files = {"nodes": nodes, **modules}
    found = [checkout(**{name: text.replace("§", each) for name, text in files.items()}).of("nodes") for each in (one, other)]
    assert all(each.is_complete for each in found)
    return [each.digest for each in found]


@pytest.mark.parametrize("nodes", ANNOTATIONS.values(), ids=ANNOTATIONS)
@pytest.mark.parametrize("imports", ["", "import shop.b\n"], ids=["", "imported"])
def test_a_class_in_an_annotation(checkout, nodes, imports):
    """The methods of the class count, wherever the annotation has its name from."""
    future = "from __future__ import annotations\n"
    nodes = f"{future}{imports}{nodes.removeprefix(future)}" if nodes.startswith(future) else f"{imports}{nodes}"
    one, other = digests(checkout, nodes, b=MODEL)
    assert one != other
    same, again = digests(checkout, nodes, "1", "1  # a comment", b=MODEL)
    assert same == again == one


@pytest.mark.parametrize("nodes", IMPORTS.values(), ids=IMPORTS)
def test_a_way_to_any_module(checkout, nodes):
    """What can lead to any name of the project makes the node depend on all modules that have them."""
    one, other = digests(checkout, nodes, b=f"{HELPER}\n\ndef other(): ...\n")
    assert one != other


@pytest.mark.parametrize("nodes", VALUES.values(), ids=VALUES)
def test_a_value(checkout, nodes):
    """The value counts; a comment does not."""
    one, other = digests(checkout, nodes)
    assert one != other
    same, again = digests(checkout, "# A comment: §.\n" + nodes.replace("§", "1"))
    assert same == again == one


@pytest.mark.skipif(sys.version_info < (3, 15), reason="built in since Python 3.15")
@pytest.mark.parametrize("value", ["frozendict(a=[§])", "sentinel('S§')"])
def test_a_built_in_type_of_python_3_15(checkout, value):
    """Frozen dictionaries count by their content, placeholders by their names."""
    nodes = f"A = {value}\ndef node():\n    return A\n"
    one, other = digests(checkout, nodes)
    assert one != other
    same, again = digests(checkout, nodes, "1", "1")
    assert same == again == one


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` is a statement since Python 3.12")
def test_an_alias_by_a_type_statement(checkout):
    """It may refer to itself, or to what is missing."""
    for nodes in (
        "from shop import b\ntype Models = list[b.Model]\ndef node(m: Models):\n    return m[0].fit()\n",
        "from shop import b\ntype Tree = dict[str, Tree] | list[Tree] | b.Model\ndef node(m: Tree):\n    return m.fit()\n",
    ):
        one, other = digests(checkout, nodes, b=MODEL)
        assert one != other
    digests(checkout, "type Broken = list[missing]\ndef node(m: Broken):\n    return m\n")


def test_a_text_with_an_address(checkout):
    """An `@` that no global variable follows is text."""
    one, other = digests(checkout, "def node():\n    return 'me@example.org'\nexample = §\n", "1", "2")
    assert one != other, "a global variable of this name might be meant"
    one, other = digests(checkout, "def node():\n    return 'me@example.org'\nother = §\n", "1", "2")
    assert one == other


def test_the_docstring_of_a_class_of_a_library(checkout, tmp_path, monkeypatch):
    """A base class or metaclass of a library may read the docstring, as those of prompts and schemas do; Python does not."""
    (tmp_path / "prompts.py").write_text("class Prompt: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    one, other = digests(checkout, "import prompts\nclass Ask(prompts.Prompt):\n    '''§'''\ndef node():\n    return Ask\n")
    assert one != other
    one, other = digests(checkout, "import abc\nclass Ask(abc.ABC):\n    '''§'''\ndef node():\n    return Ask\n")
    assert one == other


@pytest.mark.parametrize(
    ("library", "made"),
    [
        ("pydantic", "pydantic.create_model('A', x=(int, §))"),
        ("attrs", "attrs.make_class('A', {'x': attrs.field(default=§)})"),
        ("dataclasses", "dataclasses.make_dataclass('A', [('x', int, §)])"),
        ("dataclasses", "dataclasses.make_dataclass('A', [('x', 'int' * §)])"),
    ],
)
def test_a_class_that_a_function_of_a_library_makes(checkout, library, made):
    """No definition shows its fields, so those that the library keeps count."""
    pytest.importorskip(library)
    one, other = digests(checkout, f"import {library}\nA = {made}\ndef node():\n    return A\n")
    assert one != other


PANDAS = {
    "missing cells": ("pd.Series(['a', §], dtype=object)", "None", "float('nan')"),
    "a missing cell and a text": ("pd.Series(['a', §], dtype=object)", "None", "'nan'"),
    "the place of a missing cell": ("pd.Series(['nan', §], dtype=object)", "None, 'nan'", "'nan', None"),
    "the frequency of an index": ("pd.DatetimeIndex(['2020-01-01', '2020-01-02', '2020-01-03'], freq=§)", "None", "'D'"),
    "the frequency of columns": ("pd.DataFrame([[1, 2]], columns=pd.date_range('2020', periods=2, freq='§'))", "D", "24h"),
    "the type of columns": ("pd.DataFrame([[1]], columns=pd.Index([1], dtype='§'))", "int64", "object"),
    "the order in memory": ("np.array([[1, 2], [3, 4]], order='§')", "C", "F"),
}


@pytest.mark.parametrize(("value", "one", "other"), PANDAS.values(), ids=PANDAS)
def test_a_table(checkout, value, one, other):
    """A table or an array in a global variable."""
    nodes = f"import numpy as np\nimport pandas as pd\nV = {value}\ndef node():\n    return V\n"
    found = digests(checkout, nodes, one, other)
    assert found[0] != found[1]
    assert digests(checkout, nodes, one, one) == [found[0]] * 2


def test_attributes_of_a_table(checkout):
    """They may be any objects, so the table is not compared."""
    nodes = "import pandas as pd\nV = pd.DataFrame({'a': [1]})\nV.attrs['k'] = 1\ndef node():\n    return V\n"
    assert not checkout(nodes=nodes).of("nodes").is_complete


@pytest.mark.parametrize(
    "source",
    [
        "class M(type):\n    @property\n    def __dict__(cls):\n        raise RuntimeError('no')\nclass A(metaclass=M): ...\n§",
        (
            "import sys\nclass M(type(sys)):\n    def __getattr__(self, name):\n        raise RuntimeError(name)\n"
            "A = sys.modules['shop.odd'] = M('shop.odd')\n§"
        ),
    ],
    ids=["a class", "a module"],
)
def test_what_raises_when_it_is_examined(checkout, source):
    """The nodes that use it always run, each of them, and others are compared."""
    users = "def node():\n    return A\ndef other():\n    return A\ndef plain():\n    return 1\n"
    module = checkout(nodes=source.replace("§", users)).load("shop.nodes")
    fingerprinter = Fingerprinter("shop", code_stamp("shop"))
    for function in (module.node, module.other):
        found = fingerprinter.of(function)
        assert not found.is_complete
        assert "cannot be examined (RuntimeError: " in found.unknown[0]
    assert fingerprinter.of(module.plain).is_complete
    sys.modules.pop("shop.odd", None)


@pytest.mark.parametrize("use", ["return A", "return 1"], ids=["an object that it uses", "the function itself"])
def test_the_error_of_what_cannot_be_examined_is_shown_without_secrets(checkout, use):
    """Of an object that a node uses, and of the function itself."""
    error = "RuntimeError('no table at postgresql://me:hunter2@host')"
    source = (
        f"class M(type):\n    @property\n    def __dict__(cls):\n        raise {error}\nclass A(metaclass=M): ...\n"
        "class F(metaclass=M):\n    def __call__(self):\n        return 1\n"
        f"def node():\n    {use}\n"
    )
    module = checkout(nodes=source).load("shop.nodes")
    found = Fingerprinter("shop", code_stamp("shop")).of(module.node if use == "return A" else module.F())
    assert not found.is_complete
    assert "cannot be examined (RuntimeError: no table at postgresql://me:***@host)" in found.unknown[0]


@pytest.mark.parametrize("text", [r"\ud800", r"\0", r"é\udcff\0"])
def test_texts_that_a_store_escapes(checkout, text):
    """They are compared as they are stored, and differ from the escaped text."""
    one, other = digests(checkout, "K = '§'\ndef node():\n    return K\n", text, text.replace("\\", "\\\\"))
    assert one != other
    parts = checkout(nodes=f"K = '{text}'\ndef node():\n    return K\n").of("nodes").parts
    assert parts == plain_value(parts)


def test_what_the_users_own_packages_import(checkout, tmp_path, monkeypatch):
    """A package without a distribution is edited like the project, so what it imports counts if it is another such package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {
        "ours_common/__init__.py": "from ours_common.inner import help\n",
        "ours_common/inner.py": (
            "'''We\nimport things.\nfrom ..here import it\n'''\nimport json, ours_tools as tools\nimport click\n"
            "def help():\n    return tools.help()\n"
        ),
        "ours_tools.py": "def help():\n    from ours_deep.last import help\n    return help()\n",
        "ours_deep/last.py": "import ours_common\ndef help():\n    return 1\n",
        "ours_unused.py": "a = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def found():
        return checkout(nodes="import ours_common\ndef node():\n    return ours_common.help()\n").of("nodes")

    before = found()
    assert before.is_complete
    assert {label for label in before.parts if label.startswith(("package", "distribution"))} == {
        "package ours_common",
        "package ours_tools",
        "package ours_deep.last",
    }
    (tmp_path / "ours_unused.py").write_text("a = 2\n")
    assert found().digest == before.digest
    (tmp_path / "ours_deep/last.py").write_text("def help():\n    return 2\n")
    assert found().digest != before.digest
