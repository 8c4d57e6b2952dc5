"""The names that code refers to outside itself."""

from __future__ import annotations

import ast

import pytest

from treadle.fingerprint.names import Import, references


@pytest.mark.parametrize(
    ("source", "chains"),
    [
        ("def f(a, *b, c=D, **e): return a, b, c, e, G", "D G"),
        ("def f(): return a.b.c(d).e", "a.b.c d"),
        ("def f(): return getattr(a, 'b').c, getattr(a, b)", "a a.b.c b getattr"),
        ("def f():\n  a = 1\n  return a", ""),
        ("def f():\n  global a\n  a = 1\n  return a", "a"),
        ("def f():\n  global a\n  a += 1", "a"),
        ("def f():\n  a = 1\n  def g():\n    nonlocal a\n    a = b\n    return a\n  return g", "b"),
        ("def f():\n  def g():\n    global a\n    return a\n  a = 1\n  return g", "a"),
        ("def f(): return [a for a in b if c]", "b c"),
        ("def f(): return [a for a in a]", "a"),
        ("def f(): return {a: b for a in c for b in a}", "c"),
        ("def f(): return [(y := a) for a in b], y", "b"),
        ("def f(): return lambda a, b=c: a + b + d", "c d"),
        ("def f():\n  try: a\n  except B as c: return c", "B a"),
        ("def f():\n  with a as b, c as (d, e): return b, d, e", "a c"),
        ("def f():\n  for a in b: pass\n  else: return a", "b"),
        ("def f(x):\n  match x:\n    case A(b=c) | {'k': c, **d} if e: return c, d\n    case [*g]: return g", "A e"),
        ("def f():\n  import a.b as c, d.e\n  from g import h as i\n  return c, d, i", ""),
        ("def f():\n  a: B = C", "C"),
        ("def f(a: B) -> C: return a", ""),
        ("@d\ndef f(a: B) -> C: return a", "B C d"),
        ("def f(): return f()", "f"),
        ("class A(B, k=C):\n  d: E = F\n  def g(self): return d, A", "A B C E F d"),
        ("class A:\n  a = a", "a"),
        ("async def f():\n  async with a as b: return [c async for c in b]", "a"),
        ("def f():\n  del a\n  return a", ""),
        ("def f():\n  a.b = c\n  d[e] = 1", "a.b c d e"),
        ("def f(): return f'{a!r:{b}}'", "a b"),
    ],
)
def test_chains(source, chains):
    """Names that are not the code's own, with their attributes."""
    found = references(ast.parse(source).body[0])
    assert sorted(".".join(each) for each in found.chains) == chains.split()


def test_imports_and_calls():
    """Imports at any depth, the texts that functions are called with, and annotations that are not counted."""
    found = references(
        ast.parse("def f(a: B.C):\n  from ..x import y as z\n  def g():\n    import p.q\n  load('one')\n  load(two)").body[0]
    )
    assert found.imports == [Import("z", "..x", "y"), Import("p", "p.q", None)]
    assert found.texts == {("load",): {"one", None}}
    assert ("B", "C") in found.annotations
