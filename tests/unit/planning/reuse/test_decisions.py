"""Decisions: which nodes are up to date, before a run and while it goes on."""

from __future__ import annotations

import pytest

from treadle.events import ContentRecord
from treadle.planning.reuse.decisions import Decisions, Expected
from treadle.planning.reuse.facts import INVALIDATED, LastSuccess, NodeFacts, digest_of

UP_TO_DATE, RUNS, DEPENDS = Expected.UP_TO_DATE, Expected.RUNS, Expected.DEPENDS


def saved(dataset, digest):
    return ContentRecord(dataset, f"/data/{dataset}", None, 1, 1, digest, 10)


def success(parts, **outputs):
    return LastSuccess("session", 1.0, parts, tuple(saved(name, digest) for name, digest in outputs.items()))


def chain(*, code=("1", "1", "1"), must_run=((), (), ())):
    """Three nodes: `load` saves a file, `clean` keeps a value in memory, `report` saves a file."""
    made_by_clean = f"made by clean {digest_of({'function clean': '1', 'input raw': 'r1'})}"
    last = (
        success({"function load": "1", "input source": "s1"}, raw="r1"),
        success({"function clean": "1", "input raw": "r1"}),
        success({"function report": "1", "input table": made_by_clean}, page="p1"),
    )
    wiring = (("load", "source", "raw"), ("clean", "raw", "table"), ("report", "table", "page"))
    return [
        NodeFacts(name, {f"function {name}": code[index]}, (source,), (target,), last[index], must_run[index])
        for index, (name, source, target) in enumerate(wiring)
    ]


def decide(nodes, source="s1"):
    return Decisions(nodes, {"source": source}, ["table"])


def states(decisions):
    return list(decisions.expected.values())


def test_nothing_has_changed():
    decisions = decide(chain())
    assert states(decisions) == [UP_TO_DATE] * 3
    assert decisions.nothing_runs
    assert decisions.causes == {}


def test_changed_code_runs_the_node_and_the_nodes_whose_values_in_memory_it_needs():
    decisions = decide(chain(code=("1", "1", "2")))
    assert states(decisions) == [UP_TO_DATE, RUNS, RUNS]
    assert decisions.causes == {
        "clean": ("its output table is kept in memory, and report needs it",),
        "report": ("function report: 1 → 2",),
    }


def test_changed_code_of_a_node_with_a_value_in_memory_runs_the_nodes_that_need_it():
    decisions = decide(chain(code=("1", "2", "1")))
    assert states(decisions) == [UP_TO_DATE, RUNS, RUNS]
    assert decisions.causes["report"] == ("input table: content changed",)


def test_a_changed_source_leaves_open_whether_the_nodes_after_its_reader_run():
    decisions = decide(chain(), source="s2")
    assert states(decisions) == [RUNS, DEPENDS, DEPENDS]
    assert decisions.causes == {"load": ("input source: content changed",)}
    assert decisions.undecided == ["clean", "report"]


def test_equal_outputs_stop_the_wave():
    decisions = decide(chain(), source="s2")
    decisions.node_finished("load", [saved("raw", "r1")])
    assert decisions.is_up_to_date("clean")
    assert decisions.is_up_to_date("report")


def test_other_outputs_let_it_go_on():
    decisions = decide(chain(), source="s2")
    decisions.node_finished("load", [saved("raw", "r2")])
    assert not decisions.is_up_to_date("clean")
    decisions.node_finished("clean", [])
    assert not decisions.is_up_to_date("report")
    assert decisions.causes["report"] == ("input table: content changed",)


def test_an_output_that_cannot_be_verified_lets_it_go_on():
    decisions = decide(chain(), source="s2")
    decisions.node_finished("load", [saved("raw", None)])
    assert not decisions.is_up_to_date("clean")
    assert decisions.causes["clean"] == ("the content of input raw cannot be verified",)


def test_a_source_that_cannot_be_verified_runs_its_readers():
    decisions = decide(chain(), source=None)
    assert states(decisions)[0] is RUNS
    assert decisions.causes["load"] == ("the content of input source cannot be verified",)


def test_a_resumed_run_trusts_its_record_where_nothing_can_be_verified():
    nodes = [each._replace(trusting=True) for each in chain()]
    assert states(decide(nodes, source=None)) == [UP_TO_DATE] * 3
    edited = [each._replace(trusting=True) for each in chain(code=("2", "1", "1"))]
    assert states(decide(edited, source=None))[0] is RUNS


def unverifiable(code="1", *, in_memory, trusting=True, **changes):
    """`fetch` reads a database and makes `rows`, in memory or in another table; `report` and `page` read what it makes."""
    wiring = (("fetch", "source", "rows"), ("report", "rows", "summary"), ("page", "summary", "html"))
    nodes = [
        NodeFacts(
            name,
            {f"function {name}": code if name == "fetch" else "1"},
            (source,),
            (target,),
            success({f"function {name}": "1", f"input {source}": "?"}),
            trusting=trusting,
        )
        for name, source, target in wiring
    ]
    nodes[0] = nodes[0]._replace(**changes)
    return Decisions(nodes, {"source": None}, ["rows", "summary"] if in_memory else [])


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in a table"])
def test_a_change_reaches_the_nodes_after_what_cannot_be_verified(in_memory):
    """A resumed run trusts what cannot be verified, but not if the node that makes it has changed since."""
    assert states(unverifiable(in_memory=in_memory)) == [UP_TO_DATE] * 3
    for changed in (
        unverifiable("2", in_memory=in_memory),
        unverifiable(in_memory=in_memory, last=None),
        unverifiable(in_memory=in_memory, last=success(INVALIDATED)),
    ):
        for name in ("fetch", "report", "page"):
            assert not changed.is_up_to_date(name)
            changed.node_finished(name, [])
        assert changed.causes["report"] == ("fetch, which makes input rows, has changed",)
        assert changed.causes["page"] == ("report, which makes input summary, has changed",)
    only_again = unverifiable(in_memory=in_memory, must_run=("its output log is missing",))
    assert not only_again.is_up_to_date("fetch")
    only_again.node_finished("fetch", [])
    assert only_again.is_up_to_date("report")


def test_a_node_without_a_success_runs():
    first, *rest = chain()
    decisions = decide([NodeFacts("load", first.parts, first.inputs, first.outputs), *rest])
    assert states(decisions) == [RUNS, DEPENDS, DEPENDS]
    assert decisions.causes["load"] == ("no successful run of it is recorded",)


def test_an_invalidated_node_runs():
    first, *rest = chain()
    last = first.last._replace(parts=INVALIDATED)
    decisions = decide([first._replace(last=last, must_run=("its policy is cache: never",)), *rest])
    assert states(decisions) == [RUNS, DEPENDS, DEPENDS]
    assert decisions.causes["load"] == ("it was invalidated", "its policy is cache: never")


def test_a_reason_to_run_comes_first():
    decisions = decide(chain(code=("1", "1", "2"), must_run=((), (), ("output page is missing",))))
    assert decisions.causes["report"] == ("output page is missing", "function report: 1 → 2")


def test_a_file_of_a_node_that_runs_for_its_value_is_compared_again():
    """`split` saves a file and keeps a value in memory. It runs for the value; what reads the file depends on what it saves."""
    value = f"made by split {digest_of({'f': '1', 'input source': 's1'})}"
    split = NodeFacts("split", {"f": "1"}, ("source",), ("file", "table"), success({"f": "1", "input source": "s1"}, file="f1"))
    reads_value = NodeFacts("value", {"f": "2"}, ("table",), ("x",), success({"f": "1", "input table": value}, x="x1"))
    reads_file = NodeFacts("file", {"f": "1"}, ("file",), ("y",), success({"f": "1", "input file": "f1"}, y="y1"))
    decisions = decide([split, reads_value, reads_file])
    assert states(decisions) == [RUNS, RUNS, DEPENDS]
    decisions.node_finished("split", [saved("file", "f1")])
    assert decisions.is_up_to_date("file")


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        ({"param a": "1"}, {"param a": "2"}, "param a: 1 → 2"),
        ({}, {"param a": "2"}, "param a is new"),
        ({"param a": "1"}, {}, "param a is no longer used"),
        ({"helper m.f": "0" * 32}, {"helper m.f": "1" * 32}, "helper m.f changed"),
        ({"param a": "x" * 60}, {"param a": "1" * 32}, "param a changed"),
    ],
)
def test_causes_in_words(before, now, text):
    decisions = Decisions([NodeFacts("n", now, (), ("out",), success(before, out="o"))], {})
    assert decisions.causes["n"] == (text,)
