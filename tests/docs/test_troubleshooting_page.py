"""docs/troubleshooting.md: it names every error class, and quotes messages that Treadle prints."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import treadle
from treadle import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CLASSES = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
PLACEHOLDER = "…"


def text_of(expression):
    """Return the text of a string in the source; what an f-string inserts is a placeholder."""
    if isinstance(expression, ast.JoinedStr):
        return "".join(text_of(part) for part in expression.values)
    return expression.value if isinstance(expression, ast.Constant) and isinstance(expression.value, str) else PLACEHOLDER


@pytest.fixture(scope="module")
def messages():
    """All strings of Treadle's source, without line breaks."""
    files = [file for file in (ROOT / "src" / "treadle").rglob("*.py") if "templates" not in file.parts]
    found = [text_of(each) for file in files for each in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    return [re.sub(r"%[srd]|'…'|…", PLACEHOLDER, each) for each in found if each != PLACEHOLDER]


@pytest.mark.parametrize("name", sorted({"TreadleError", *CLASSES}))
def test_each_error_class_is_named(name):
    """Each class of errors.py has a section; the root is named at the top."""
    assert name in treadle.__all__
    assert re.search(rf"^### {name}$", PAGE, re.MULTILINE) or name == "TreadleError"
    assert name in PAGE


def test_the_messages_are_treadles(messages):
    """Each message in a table of a class is one of the source, up to what is inserted."""
    rows = re.findall(r"^\| (.*?) \| ", PAGE.partition("## A node failed")[2].partition("## No error")[0], re.MULTILINE)
    quoted = [each for row in rows for each in re.findall(r"`(.*?[^ (])`(?=[, ]|$)", row)]
    assert len(quoted) > 50
    missing = []
    for quote in quoted:
        parts = [part.strip(" '") for part in re.sub(r"'…'", PLACEHOLDER, quote).split(PLACEHOLDER)]
        pattern = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
        if not any(pattern.search(message) for message in messages):
            missing.append(quote)
    assert not missing
