"""Edits to a project, each with the exact set of nodes whose fingerprint it changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("edited_project", Path(__file__).with_name("edited_project.py"))
PROJECT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROJECT)


@pytest.fixture(scope="module")
def unedited(tmp_path_factory, checkout_class):
    """The fingerprints of the project as it is, and its results; the edited projects are at other paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr(sys, "path", [*sys.path])
        return checkout_class(tmp_path_factory.mktemp("unedited"), PROJECT.FILES).nodes()


@pytest.mark.parametrize("edit", PROJECT.EDITS, ids=[each.name.replace(" ", "-") for each in PROJECT.EDITS])
def test_an_edit_changes_exactly_these_nodes(edit, unedited, tmp_path, checkout_class, fresh_imports):
    """The digests of these nodes change, and of no others; so do their parts. All others compute the same as before."""
    before, results_before = unedited
    checkout = checkout_class(tmp_path, PROJECT.FILES)
    checkout.replace(edit.file, edit.old, edit.new)
    found, results = checkout.nodes()
    assert {name for name in PROJECT.NODES if found[name].digest != before[name].digest} == edit.changed
    assert {name for name in PROJECT.NODES if found[name].parts != before[name].parts} == edit.changed
    assert {name for name in PROJECT.NODES if results[name] != results_before[name]} <= edit.changed
    assert all(each.is_complete for each in found.values())


def test_only_the_dynamic_node_has_something_to_say(unedited):
    """Nodes that can be followed have no sentences; the one with `getattr` on a module names the module."""
    assert {name for name, each in unedited[0].items() if each.unknown} == {"pick"}
    assert "shop.helpers" in unedited[0]["pick"].unknown[0]


def test_the_parts_say_what_a_node_depends_on(unedited):
    """Each function, class, constant, default value and captured value is a part of its own; short values can be read."""
    parts = unedited[0]["clean"].parts
    assert set(parts) == {
        "callable",
        "function shop.nodes.clean",
        "function shop.tools.trim",
        "function shop.tools.smaller",
        "global shop.nodes.LIMIT",
    }
    assert parts["global shop.nodes.LIMIT"] == "100"
    assert parts["callable"] == "function shop.nodes.clean"
    assert unedited[0]["price"].parts["default shop.nodes.price(discount)"] == "10"
    assert unedited[0]["price"].parts["global shop.conf.RATES"] == "{'eur': 2, 'usd': [3, 4]}"
    assert unedited[0]["add"].parts["closure shop.nodes.make_adder.<locals>.add amount"] == "3"
    assert unedited[0]["fit"].parts["attribute shop.models.Base.weight"] == "2"
    assert {"class shop.models.Base", "function shop.models.Base.total"} < set(unedited[0]["fit"].parts)


def test_there_are_enough_edits():
    """The table has edits of every kind; each name is used once."""
    assert len({each.name for each in PROJECT.EDITS}) == len(PROJECT.EDITS) >= 55
    assert frozenset().union(*(each.changed for each in PROJECT.EDITS)) == set(PROJECT.NODES)
