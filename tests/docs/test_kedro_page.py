"""docs/kedro.md: every test that its tables name exists, and those of a numbered failure name its number."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "kedro.md").read_text(encoding="utf-8")
FEATURES, FAILURES = (
    re.split(r"^## ", PAGE.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]
    for title in ("Kedro features and their Treadle equivalents", "Known problems of Kedro")
)
NOT_YET = "not yet"
"""What stands in place of tests for what Treadle does not do."""


@functools.cache
def docstrings(file):
    """Return the first line of the docstring of each test of a file, by name."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")]
    return {each.name: (ast.get_docstring(each) or "").partition("\n")[0] for each in found}


def rows(section):
    """Yield each row of a section's tables: its first two cells, and its tests as file and name."""
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3 or set(cells[0]) <= set("-") or cells[2].startswith("tests"):
            continue
        file, tests = "", []
        for before, name in re.findall(r"`([\w/.]*)::(\w+)`", cells[2]):
            file = before or file
            tests.append((file, name))
        yield cells[0], cells[1], cells[2], tests


@pytest.mark.parametrize("section", [FEATURES, FAILURES], ids=["features", "failures"])
def test_every_test_of_the_tables_exists(section):
    """Each row names tests, and there is a test of that name in that file."""
    table = list(rows(section))
    assert len(table) > 20
    for feature, here, cell, tests in table:
        assert tests or cell == NOT_YET, f"{feature} | {here} names no test"
        for file, name in tests:
            assert (TESTS / file).is_file(), f"{feature} names the file {file}"
            assert name in docstrings(file), f"{feature} names {name}, which is not in {file}"


def test_tests_of_failures_name_their_number():
    """All twenty failures have a row, and their tests have the number in their name, or in their docstring."""
    table = list(rows(FAILURES))
    assert {number for number, *_ in table} == {str(number) for number in range(1, 21)}
    for number, _, _, tests in table:
        for file, name in tests:
            mentions = re.findall(r"[Ff]ailures? ([\d, ]+\d|\d)", docstrings(file)[name])
            numbers = {each for some in mentions for each in re.findall(r"\d+", some)}
            assert name.startswith(f"test_{number}_") or number in numbers, f"{name} in {file} does not name failure {number}"


def test_nothing_is_put_off():
    """Each feature and each failure has its tests."""
    assert [there for _, there, cell, _ in [*rows(FEATURES), *rows(FAILURES)] if cell == NOT_YET] == []
