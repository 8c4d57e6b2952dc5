"""Edits of one module, with each kind of callable, value and scope: what changes the fingerprint of its function `node`."""

from __future__ import annotations

import pytest


def differ(checkout, template, one, other, **more):
    """Return whether `node` of a module has two digests if § in the module's source is the one or the other text."""
    found = [checkout(nodes=template.replace("§", each), **more).of("nodes") for each in (one, other)]
    assert (found[0].digest != found[1].digest) == (found[0].parts != found[1].parts)
    return found[0].digest != found[1].digest


CHANGES = {
    "lambdas of one line": (
        """\
node = (lambda: 1, lambda: 2)[§]
""",
        "0",
        "1",
    ),
    "the default of a lambda": (
        """\
node = lambda x=§: x
""",
        "1",
        "2",
    ),
    "closures in closures, exchanged": (
        """\
def scale(k):
    return lambda x: x * k
def both(f, g):
    return lambda x: f(g(x))
node = both(§)
""",
        "scale(2), scale(3)",
        "scale(3), scale(2)",
    ),
    "two names, exchanged": (
        """\
from shop import a, b
f, g = §
def node():
    return f() - g()
""",
        "a.f, b.f",
        "b.f, a.f",
    ),
    "a class": (
        """\
class node:
    def __init__(self, x):
        §
""",
        "pass",
        "self.x = x",
    ),
    "the state of a callable object": (
        """\
class Call:
    def __init__(self, k):
        self.k = k
    def __call__(self, x):
        return self.k
node = Call(§)
""",
        "1",
        "2",
    ),
    "a bound method": (
        """\
class A:
    k = 1
    def m(self):
        return §
node = A().m
""",
        "1",
        "2",
    ),
    "a class method": (
        """\
class A:
    @classmethod
    def m(cls):
        return §
node = A.m
""",
        "1",
        "2",
    ),
    "a cache": (
        """\
import functools
@functools.lru_cache(2)
def node():
    return §
""",
        "1",
        "2",
    ),
    "its size": (
        """\
import functools
@functools.lru_cache(§)
def node():
    return 1
""",
        "2",
        "3",
    ),
    "a registered implementation": (
        """\
import functools
@functools.singledispatch
def node(x):
    return 1
@node.register
def _(x: int):
    return §
""",
        "2",
        "3",
    ),
    "a function in the wrapper of a library": (
        """\
import contextlib
@contextlib.contextmanager
def node(x):
    yield §
""",
        "1",
        "2",
    ),
    "a registry of functions": (
        """\
REGISTRY = {}
def register(f):
    REGISTRY[f.__name__] = f
    return f
@register
def up(x):
    return §
def node(x):
    return REGISTRY[x](x)
""",
        "1",
        "2",
    ),
    "an import in the function": (
        """\
def node():
    from shop.§ import f
    return f()
""",
        "a",
        "b",
    ),
    "an enumeration": (
        """\
import enum
class C(enum.Enum):
    A = §
def node():
    return C.A.value
""",
        "1\n    B = 2",
        "2\n    B = 3",
    ),
    "a named tuple": (
        """\
from typing import NamedTuple
class P(NamedTuple):
    x: int = §
def node():
    return P()
""",
        "1",
        "2",
    ),
    "a named tuple made by a call": (
        """\
from collections import namedtuple
P = namedtuple('P', '§')
def node():
    return P(1, 2)
""",
        "x y",
        "y x",
    ),
    "the class that a parameter is annotated with": (
        """\
class M:
    def fit(self, x):
        return §
def node(model: M):
    return model.fit(1)
""",
        "1",
        "2",
    ),
    "an annotation that a decorator may read": (
        """\
def other(f):
    return f
@other
def node(x: §):
    return x
""",
        "int",
        "float",
    ),
    "a dynamic import": (
        """\
import importlib
def node(name):
    return importlib.import_module(name).f()§

""",
        "",
        " + 0",
    ),
    "a global variable that is changed": (
        """\
K = §
def node():
    global K
    K += 1
""",
        "1",
        "2",
    ),
    "a name that a comprehension hides": (
        """\
def node(x):
    return [K for K in K]
K = [§]
""",
        "1",
        "2",
    ),
    "a name that a class hides": (
        """\
K = §
def node(x):
    class A:
        K = K
    return A
""",
        "1",
        "2",
    ),
    "a list that contains itself": (
        """\
K = [§]
K.append(K)
def node():
    return K
""",
        "1",
        "2",
    ),
    "classes made by a function, exchanged": (
        """\
def make(k):
    class A:
        def m(self):
            return k
    return A
A, B = §
def node():
    return A().m() - B().m()
""",
        "make(1), make(2)",
        "make(2), make(1)",
    ),
    "the attribute of a class made by a function": (
        """\
def make(k):
    class A:
        size = k
    return A
A = make(§)
def node():
    return A.size
""",
        "1",
        "2",
    ),
    "an annotation as text": (
        """\
class M:
    def fit(self, x):
        return §
def node(model: "M | None"):
    return model.fit(1)
""",
        "1",
        "2",
    ),
    "the state of a global object": (
        """\
class A:
    def __init__(self, k):
        self.k = k
K = A({'b': [§]})
def node():
    return K
""",
        "1",
        "2",
    ),
    "a replaced method": (
        """\
class A:
    def m(self):
        return 1
def other(self):
    return 2
§
def node():
    return A().m()
""",
        "",
        "A.m = other",
    ),
    "a replaced function": (
        """\
from shop import a
def other():
    return 2
§
def node():
    return a.f()
""",
        "",
        "a.f = other",
    ),
    "a metaclass": (
        """\
class M(type):
    def __call__(cls):
        return §
class A(metaclass=M):
    pass
def node():
    return A()
""",
        "1",
        "2",
    ),
    "a nested class": (
        """\
class A:
    class B:
        k = §
def node():
    return A
""",
        "1",
        "2",
    ),
    "a decorated method": (
        """\
import functools
class A:
    @functools.lru_cache
    def m(self):
        return §
def node():
    return A().m()
""",
        "1",
        "2",
    ),
    "a cached property": (
        """\
import functools
class A:
    @functools.cached_property
    def m(self):
        return §
def node():
    return A().m
""",
        "1",
        "2",
    ),
    "a setter": (
        """\
class A:
    @property
    def m(self):
        return 1
    @m.setter
    def m(self, x):
        self.x = §
def node():
    A().m = 1
""",
        "1",
        "2",
    ),
    "a descriptor of the project": (
        """\
class D:
    def __init__(self, k):
        self.k = k
    def __get__(self, one, kind):
        return self.k
class A:
    d = D(§)
def node():
    return A().d
""",
        "1",
        "2",
    ),
    "a default factory": (
        """\
from dataclasses import dataclass, field
def made():
    return [§]
@dataclass
class A:
    d: list = field(default_factory=made)
def node():
    return A().d
""",
        "1",
        "2",
    ),
    "a partial of a partial": (
        """\
from functools import partial
def f(a, b):
    return a - b
node = partial(partial(f, §), 3)
""",
        "1",
        "2",
    ),
    "the order of positional arguments": (
        """\
from functools import partial
def f(a, b):
    return a - b
node = partial(f, §)
""",
        "1, 2",
        "2, 1",
    ),
    "an attribute of a function": (
        """\
def node():
    return node.k
node.k = §
""",
        "1",
        "2",
    ),
    "all names of a module": (
        """\
from shop.a import *
def node():
    return f() + §
""",
        "0",
        "1",
    ),
    "an alias": (
        """\
from shop import a, b
f = §.f
def node():
    return f()
""",
        "a",
        "b",
    ),
    "a function in a container": (
        """\
from shop import a, b
F = {'x': (§.f,)}
def node():
    return F['x'][0]()
""",
        "a",
        "b",
    ),
    "a function that is defined twice": (
        """\
def f():
    return 1
g = f
def f():
    return 2
def node():
    return §()
""",
        "f",
        "g",
    ),
    "a function that is defined under a condition": (
        """\
if §:
    def f():
        return 1
else:
    def f():
        return 2
def node():
    return f()
""",
        "True",
        "False",
    ),
    "a name that is missing": (
        """\
def node():
    return K
§
""",
        "",
        "K = 1",
    ),
    "a generator expression": (
        """\
def f(x):
    return §
def node(x):
    return sum(f(y) for y in x)
""",
        "1",
        "2",
    ),
    "a type that is cast to": (
        """\
from typing import TypedDict
class T(TypedDict):
    a: §
def node():
    return T(a=1)
""",
        "int",
        "str",
    ),
    "the cases of a match statement": (
        """\
K = §
class C:
    k = K
def node(x):
    match x:
        case C.k:
            return 1
""",
        "1",
        "2",
    ),
    "an async function that is run": (
        """\
async def f():
    return §
def node():
    return f()
""",
        "1",
        "2",
    ),
    "a method that is used by itself": (
        """\
class A:
    def m(self):
        return self.n()
    def n(self):
        return §
node = A.m
""",
        "1",
        "2",
    ),
    "a constant of a module that is used as a value": (
        """\
import os
from shop import nodes
K = len('§')
def node(x):
    return getattr(nodes, x)
""",
        "a",
        "ab",
    ),
    "combined flags": (
        """\
import enum
class F(enum.Flag):
    A = 1
    B = 2
    C = 4
K = F.A | F.§
def node():
    return K
""",
        "B",
        "C",
    ),
    "a keyword of a method caller": (
        """\
import operator
node = operator.methodcaller('split', sep=§)
""",
        "','",
        "';'",
    ),
}


@pytest.mark.parametrize(("template", "one", "other"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(checkout, template, one, other):
    """Each of these pairs computes something else."""
    assert differ(checkout, template, one, other, a="def f():\n    return 1\n", b="def f():\n    return 1\n")


NO_CHANGES = {
    "a global variable hidden by a local one": (
        """\
def node(x):
    K = x
    return K
K = §
""",
        "1",
        "2",
    ),
    "one hidden by a parameter": (
        """\
def node(K):
    return lambda: K
K = §
""",
        "1",
        "2",
    ),
    "one hidden by a comprehension": (
        """\
def node(x):
    return [K for K in x]
K = §
""",
        "1",
        "2",
    ),
    "a logger": (
        """\
§
import logging
log = logging.getLogger('a')
def node():
    log.info('')
""",
        "",
        "# ..",
    ),
    "a lock": (
        """\
§
import threading
lock = threading.Lock()
def node():
    with lock:
        pass
""",
        "",
        "\n",
    ),
    "the standard library": (
        """\
§
import os
from os import environ
def node():
    return environ['HOME'], os.sep
""",
        "",
        "\n",
    ),
    "a function with only a docstring": (
        """\
def node():
    §
""",
        "'''One.'''",
        "pass",
    ),
    "recursion": (
        """\
§ node(x):
    def f(n):
        return f(n - 1)
    return f
""",
        "def",
        "\ndef",
    ),
    "mutual recursion, moved": (
        """\
§
node = a
""",
        "def a(n):\n    return b(n)\ndef b(n):\n    return a(n)",
        "def b(n):\n    return a(n)\ndef a(n):\n    return b(n)",
    ),
    "a closure that captures itself": (
        """\
§ make():
    def f(n):
        return f(n - 1)
    return f
node = make()
""",
        "def",
        "\ndef",
    ),
    "code above": (
        """\
§
def node():
    return 1
""",
        "",
        "import json\nK = 1\n\n\n",
    ),
    "an instance that is made again": (
        """\
class A:
    def __init__(self):
        self.k = [1]
K = A()  #§
def node():
    return K
""",
        "",
        " again",
    ),
    "a sentinel": (
        """\
NONE = object()  #§
def node(x=NONE):
    return x is NONE
""",
        "",
        " again",
    ),
    "the docstring of a method": (
        """\
class A:
    def m(self):
        §
        return 1
def node():
    return A().m()
""",
        "'''One.'''",
        "'''Two.'''",
    ),
    "the annotation of a method": (
        """\
class A:
    def m(self, x: §):
        return 1
def node():
    return A().m(1)
""",
        "int",
        "str",
    ),
    "an unused method of another class": (
        """\
class A:
    def m(self):
        return 1
class B(A):
    def n(self):
        return §
def node():
    return A().m()
""",
        "1",
        "2",
    ),
    "a name that only annotations use": (
        """\
K = §
def node(x: K) -> K:
    y: K = x
    return y
""",
        "int",
        "str",
    ),
    "a dataclass": (
        """\
from dataclasses import dataclass
@dataclass(order=True)
class A:
    k: int = 1
def node():
    return A()  #§
""",
        "",
        " again",
    ),
    "a local import of the standard library": (
        """\
def node():
    import json
    return json.dumps(1)  #§
""",
        "",
        " again",
    ),
}


@pytest.mark.parametrize(("template", "one", "other"), NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_does_not_count(checkout, template, one, other):
    """Each of these pairs is the same for the node, and complete."""
    assert not differ(checkout, template, one, other)
    assert checkout(nodes=template.replace("§", one)).of("nodes").is_complete
