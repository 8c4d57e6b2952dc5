"""Code of the project that other code has put where a function finds it: in a library, in a class, among the builtins."""

from __future__ import annotations

import builtins
import copyreg
import json
import textwrap

import pytest

NODE = "import shop.b\nfrom shop.a import Model\n\n\ndef node(x):\n    return {}\n"
MODEL = "import functools\n\n\nclass Model:\n    @functools.singledispatchmethod\n    def fit(self, x):\n        return 0\n"
WAYS = {
    "a wrapped function as a method": (
        "Model().cm",
        "import contextlib\nfrom shop.a import Model\n@contextlib.contextmanager\ndef cm(self):\n    yield §\nModel.cm = cm\n",
    ),
    "a cached function as a method": (
        "Model().cached()",
        "import functools\nfrom shop.a import Model\n@functools.cache\ndef cached(self):\n    return §\nModel.cached = cached\n",
    ),
    "an implementation of a method": (
        "Model().fit([])",
        "from shop.a import Model\n@Model.fit.register(list)\ndef _(self, x):\n    return §\n",
    ),
    "an attribute of a library's class": (
        "shop.b.textwrap.TextWrapper().mine()",
        "import textwrap\ndef mine(self):\n    return §\ntextwrap.TextWrapper.mine = mine\n",
    ),
    "in the place of a library's function": ("shop.b.json.loads(x)", "import json\njson.loads = lambda x: §\n"),
    "in the place of an imported name": ("shop.b.dumps(x)", "from json import dumps\nglobals()['dumps'] = lambda x: §\n"),
    "an entry in a library's registry": (
        "shop.b.dispatch_table[shop.b.Own](x)",
        "from copyreg import dispatch_table\nclass Own: ...\ndef reduce(x):\n    return §\ndispatch_table[Own] = reduce\n",
    ),
    "a builtin function": ("shop_limit()", "import builtins\ndef limit():\n    return §\nbuiltins.shop_limit = limit\n"),
    "a builtin value": ("shop_limit + 1", "import builtins\nbuiltins.shop_limit = §\n"),
    "the class of a module": (
        "shop.b.limit",
        "import sys, types\nclass Lazy(types.ModuleType):\n    limit = §\nsys.modules[__name__].__class__ = Lazy\n",
    ),
}
MADE = {
    "a special attribute": "    class Made:\n        __tablename__ = n\n",
    "a default factory": "    @dataclass\n    class Made:\n        a: int = field(default_factory=lambda: n)\n",
    "the data of a field": "    @dataclass\n    class Made:\n        a: int = field(default=0, metadata={'unit': n})\n",
    "an argument of a decorator": "    @dataclass(order=n == 1)\n    class Made:\n        a: int = 0\n",
    "a field of a model": "    class Made(pydantic.BaseModel):\n        a: int = n\n",
    "an inner class": "    class Made:\n        class Inner:\n            __limit__ = n\n",
}


REDUCERS, LOADS = dict(copyreg.dispatch_table), json.loads


def clean_libraries():
    """Remove what the code of a test has added to libraries."""
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(REDUCERS)
    json.loads = LOADS
    for owner, name in ((builtins, "shop_limit"), (textwrap.TextWrapper, "mine")):
        if hasattr(owner, name):
            delattr(owner, name)


def digests(checkout, files):
    """Return the digests of the node for these files with 1, 2 and again 1 in place of §."""
    found = []
    for number in "121":
        try:
            found.append(checkout(**{name: text.replace("§", number) for name, text in files.items()}).of("nodes").digest)
        finally:
            clean_libraries()
    return found


@pytest.mark.parametrize("name", WAYS)
def test_code_that_is_added_counts(name, checkout):
    """A change of it is seen, although the function and what defines the class or library are as before."""
    use, added = WAYS[name]
    before, changed, again = digests(checkout, {"nodes": NODE.format(use), "a": MODEL, "b": added})
    assert before != changed
    assert before == again


@pytest.mark.parametrize("name", MADE)
def test_what_a_function_gives_to_a_class_counts(name, checkout):
    """The definition of the class does not show the variables of the function around it."""
    made = f"import pydantic\nfrom dataclasses import dataclass, field\n\n\ndef make(n):\n{MADE[name]}    return Made\n"
    nodes = "from shop.a import make\n\nModel = make(§)\n\n\ndef node(x):\n    return Model\n"
    before, changed, again = digests(checkout, {"nodes": nodes, "a": made})
    assert before != changed
    assert before == again


@pytest.mark.parametrize(("kind", "register"), [("DataFrame", "dataframe"), ("Series", "series"), ("Index", "index")])
def test_an_accessor_of_pandas_counts(kind, register, checkout, monkeypatch):
    """The function refers to it by an attribute of a table only."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(getattr(pandas, kind), "shop_test", None, raising=False)  # removed in the end
    monkeypatch.setattr(getattr(pandas, kind), "_accessors", {*getattr(pandas, kind)._accessors})
    added = (
        f"import warnings\nimport pandas\n\n\nwith warnings.catch_warnings():\n"
        f"    warnings.simplefilter('ignore')\n\n    @pandas.api.extensions.register_{register}_accessor('shop_test')\n"
        "    class Shop:\n        def __init__(self, table): ...\n        def total(self):\n            return §\n"
    )
    nodes = "import shop.a\n\n\ndef node(table):\n    return table.shop_test.total()\n"
    before, changed, again = digests(checkout, {"nodes": nodes, "a": added})
    assert before != changed
    assert before == again
    other = digests(checkout, {"nodes": nodes.replace("shop_test", "other"), "a": added})
    assert len(set(other)) == 1


def test_a_function_that_python_has_anyway_adds_nothing(checkout):
    """Names of Python and of libraries are described as before."""
    found = checkout(nodes="import json\n\n\ndef node(x):\n    return len(json.dumps(sorted(x)))\n").of("nodes")
    assert set(found.parts) == {"callable", "function shop.nodes.node"}
