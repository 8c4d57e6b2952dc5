"""What a node changes, no other node sees, nor the caller: under every runner and start method, for values of many kinds."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path

import pytest

from treadle import Catalog, MemoryDataset, Pipeline, node

sys.path.insert(0, str(Path(__file__).parent))
import spoilers

CASES = {
    f"{kind} {count}": (kind, count)
    for kind in spoilers.KINDS
    for count in (spoilers.SMALL, spoilers.SEGMENT, *((spoilers.RESIDENT,) if kind in spoilers.LARGE else ()))
}


def _nodes(case):
    """For one value: who makes it, who sees it side by side, later, changed by another, given by the caller, stored."""

    def seen(what, value, *after):
        return node(spoilers.see, [value, f"what {case}", *after], f"{what} {case}", name=f"{what} {case}")

    def handed_on(what, value):
        return node(spoilers.hand_on, [value, f"what {case}"], [f"{what} {case}", f"where {what} {case}"], name=f"{what} {case}")

    made, shared, given, stored = (f"{name} {case}" for name in ("made", "shared", "given", "stored"))
    return [
        node(spoilers.produce, f"case {case}", [made, shared, f"what {case}"], name=f"make {case}"),
        handed_on("handed", made),
        handed_on("result", stored),
        seen("one", made),
        seen("two", made),
        seen("later", made, f"one {case}", f"two {case}", f"where handed {case}"),
        seen("part", shared),
        seen("part later", shared, f"part {case}"),
        seen("given one", given),
        seen("given two", given, f"given one {case}"),
        seen("stored one", stored),
        seen("stored two", stored, f"stored one {case}", f"where result {case}"),
        seen("changed", f"handed {case}", f"where handed {case}", f"one {case}"),
    ]


@pytest.fixture(scope="module")
def expected():
    """What there is to see, for each case: of the value, of the part of it, and of the value once it was changed."""
    looks = {}
    for case, what in CASES.items():
        value, part, _what = spoilers.produce(what)
        looks[case] = spoilers.look(value), spoilers.look(part)
        spoilers.spoil(value := spoilers.make(*what))
        looks[case] += (spoilers.look(value),)
    return looks


@pytest.mark.parametrize("way", ["sequential", "thread", "fork", "spawn"], scope="module")
def test_nobody_sees_what_another_changes(any_runner, expected):
    """Siblings, later nodes, consumers of a part, of what is changed and returned, the caller's objects, results (failure 12)."""
    stored = {f"stored {case}": MemoryDataset(spoilers.make(*what)) for case, what in CASES.items()}
    given = {f"given {case}": spoilers.make(*what) for case, what in CASES.items()}
    spoilers.HOARD.clear()
    catalog = Catalog({**stored, **{f"case {case}": what for case, what in CASES.items()}})
    pipeline = Pipeline([each for case in CASES for each in _nodes(case)])
    result = any_runner.run(pipeline, catalog, inputs=given)
    wrong = []
    for case, what in CASES.items():
        whole, part, changed = expected[case]
        spoilers.raid(what)
        views = {
            whole: [result[f"{name} {case}"] for name in ("later", "given two", "stored two")],
            part: [result[f"part later {case}"]],
            changed: [result[f"changed {case}"], spoilers.look(result[f"result {case}"])],
        }
        views[whole] += [spoilers.look(given[f"given {case}"]), spoilers.look(catalog.load(f"stored {case}"))]
        wrong += [f"{case}: {each} in {seen}" for wanted, seen in views.items() for each in seen if each != wanted]
    assert wrong == []


class Large:
    """A value whose end can be observed."""


def make_three():
    """Make three values."""
    return Large(), Large(), Large()


def use_first(first):
    """Return whether an argument ends when the function drops it."""
    observed = weakref.ref(first)
    del first
    return observed() is None


def use_both(second, third):
    """Return whether each of two arguments ends when the function drops it."""
    observed = weakref.ref(second), weakref.ref(third)
    second = third = None
    return [each() is None for each in observed]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 itself keeps the arguments of a call until it returns")
@pytest.mark.parametrize("way", ["sequential", "thread", "fork"], scope="module")
def test_a_function_can_free_its_inputs(any_runner):
    """The last consumer of a value has the only reference to it, so `frame = frame.dropna()` frees the first frame."""
    nodes = [
        node(make_three, None, ["first", "second", "third"]),
        node(use_first, "first", "one"),
        node(use_both, ["second", "third"], "both"),
    ]
    assert dict(any_runner.run(Pipeline(nodes), Catalog())) == {"one": True, "both": [True, True]}
