"""Suggestions for unknown names: which names, and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import treadle
from treadle.suggestions import close_names, did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "close"),
    [
        ("tabel", ["table", "chair"], ("table",)),
        ("PROD", ["prod", "base"], ("prod",)),
        ("b", ["a.b", "x", "c.b"], ("a.b", "c.b")),
        ("table1", ["table2", "table3", "table4", "table5"], ("table5", "table4", "table3")),
        (True, ["true", "false"], ("true",)),
        ("1", [1, 22], ("1",)),
        ("", ["", "a."], ("",)),
        ("x", [], ()),
    ],
)
def test_close_names(name, known, close):
    """Names alike come best first, whatever their case, and those that only lack their namespace before them."""
    assert close_names(name, known) == close


def test_the_number_of_names_and_how_alike_they_are():
    """A caller may ask for fewer names, and for names that are more alike."""
    assert close_names("table1", ["table2", "table3"], most=1) == ("table3",)
    assert close_names("HOOK", ["HOOKS", "COOKIES"], cutoff=0.85) == ("HOOKS",)


def test_the_words():
    """A suggestion follows the sentence that reports the problem, and is empty where there is nothing to suggest."""
    assert did_you_mean(["x"], "They are: x.") == " Did you mean 'x'?"
    assert did_you_mean(["x", "y"]) == " Did you mean 'x' or 'y'?"
    assert did_you_mean([], "They are: none.") == " They are: none."
    assert did_you_mean([]) == ""


def test_no_module_words_its_own():
    """Every module suggests names in the same words, which stand in one place."""
    root = Path(treadle.__file__).parent
    own = [
        str(file.relative_to(root))
        for file in sorted(root.rglob("*.py"))
        if re.search("get_close_matches|did you mean", file.read_text(encoding="utf-8"), re.IGNORECASE)
    ]
    assert own == ["suggestions.py"]
