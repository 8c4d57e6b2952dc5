"""The text of a syntax tree: what counts and what does not."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from treadle.fingerprint.syntax import dump


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(): return 1", "def f():\n  # why\n  return (1)"),
        ("def f():\n  'doc'\n  return 1", "def f():\n  return 1"),
        ("def f(a: int) -> str: return a", "def f(a): return a"),
        ("def f():\n  a: int = 1", "def f():\n  a = 1"),
        ("a: int = 1", "a = 1"),
        ("class A:\n  'doc'", "class A: pass"),
        ("class A:\n  def f(self, a: int): 'doc'", "class A:\n  def f(self, a): ..."),
        ("if a: pass\nelse: pass", "if a: ..."),
        ("'doc'\na = 1", "a = 1"),
        ("a = 'x' 'y'", "a = 'xy'"),
        ("a = f'{b}' 'y'", "a = f'{b}y'"),
        ("a = f'x' f'{b}' f'y' 'z'", "a = f'x{b}yz'"),
        ("a = 'é'", "a = '\\xe9'"),
        ("a = 1_000", "a = 1000"),
        ("a = u'x'", "a = 'x'"),
        ("@property\ndef f(a: int): pass", "@property\ndef f(a): pass"),
        ("@functools.lru_cache(1)\ndef f(a: int): pass", "@functools.lru_cache(1)\ndef f(a): pass"),
    ],
)
def test_the_same(one, other):
    """These mean the same."""
    assert dump(ast.parse(one)) == dump(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = 1", "a = 1.0"),
        ("a = 1", "a = True"),
        ("a = 1", "a = '1'"),
        ("a = b'1'", "a = '1'"),
        ("a = 0.0", "a = -0.0"),
        ("a = None", "a = 'None'"),
        ("a = [b, c]", "a = (b, c)"),
        ("a = [[b], c]", "a = [[b, c]]"),
        ("f(a, b=c)", "f(a, c=b)"),
        ("f(*a)", "f(**a)"),
        ("f({**a, b: c})", "f({b: c, **a})"),
        ("a = b.c", "a = b.d"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(*, a): pass", "def f(a): pass"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("def f(a, b=1): pass", "def f(a, b=2): pass"),
        ("async def f(): pass", "def f(): pass"),
        ("for a in b: c\nelse: d", "for a in b: c\nd"),
        ("class A:\n  a: int", "class A:\n  a: str"),
        ("class A:\n  a: int = 1", "class A:\n  a = 1"),
        ("@d\ndef f(a: int): pass", "@d\ndef f(a: str): pass"),
        ("@d\ndef f() -> int: pass", "@d\ndef f() -> str: pass"),
        ("def f():\n  a: int", "def f(): pass"),
        ("a = f'{b!r}'", "a = f'{b!s}'"),
        ("a = f'{b:>1}'", "a = f'{b:>2}'"),
        ("a = f'{b}'", "a = '{b}'"),
        ("def f():\n  global a, b\n  a = 1", "def f():\n  global a\n  a = 1"),
        ("from . import a", "from .. import a"),
        ("match a:\n  case {'x': b, **c}: pass", "match a:\n  case {'x': b}: pass"),
        ("match a:\n  case None: pass", "match a:\n  case True: pass"),
        ("try: a\nexcept B as c: d", "try: a\nexcept B: d"),
    ],
)
def test_not_the_same(one, other):
    """These mean something else."""
    assert dump(ast.parse(one)) != dump(ast.parse(other))


def test_defaults_can_be_left_out():
    """The default values of a live function are compared by value, so its tree is written without them; inner ones stay."""
    one, other, inner = (
        ast.parse(f"def f(a={first}, *, b={first}):\n  return lambda c={second}: c").body[0]
        for first, second in ((1, 1), (2, 1), (1, 2))
    )
    assert dump(one, defaults=False) == dump(other, defaults=False) != dump(inner, defaults=False)


def test_a_tree_may_be_deep():
    """A tree that is deeper than Python's stack is written."""
    tree = ast.Constant(1)
    for _ in range(50_000):
        tree = ast.UnaryOp(ast.USub(), tree)
    assert dump(tree).count("USub") == 50_000
    while isinstance(tree, ast.UnaryOp):  # freeing it must not recurse either
        tree = tree.operand


def test_the_text_is_ascii():
    """Identifiers and strings are written in ASCII, because what can be printed differs between versions of Unicode."""
    assert dump(ast.parse("é = 'ü' + b'\\xff'.decode()")).isascii()


def test_assertions_count_if_python_leaves_them_out(tmp_path):
    """Under `python -O`, code with assertions or `__debug__` is other code; all other code is the same."""
    codes = (
        "def f(x):\n    assert x\n    return x\n",
        "def f(x):\n    return 1 if __debug__ else 2\n",
        "def f(x):\n    return x\n",
    )
    script = f"import ast; from treadle.fingerprint.syntax import dump; print([dump(ast.parse(code)) for code in {codes!r}])"
    plain, optimized = (
        ast.literal_eval(subprocess.check_output([sys.executable, *flags, "-c", script], cwd=tmp_path, text=True))
        for flags in ([], ["-O"])
    )
    assert [one == other for one, other in zip(plain, optimized, strict=True)] == [False, False, True]
