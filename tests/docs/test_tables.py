"""The tables of dataset types and of runners on their pages have each of Treadle's own."""

from __future__ import annotations

import re
from pathlib import Path

from treadle.execution.runners.registry import _RUNNER_CLASSES
from treadle.io.types import KNOWN_TYPES

DOCS = Path(__file__).parents[2] / "docs"


def column(page, heading, place):
    """Return the names in a column of the table that begins with a heading."""
    table = (DOCS / page).read_text().partition(heading)[2].partition("\n\n")[0]
    cells = [row.split(" | ")[place] for row in table.strip().splitlines() if not row.startswith("|---")]
    return [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]


def test_each_dataset_type_is_explained():
    """The table of types in docs/catalog.md has each short name."""
    assert set(column("catalog.md", "| type | value |", 0)) >= set(KNOWN_TYPES)


def test_each_runner_is_explained():
    """The table of runners in docs/runners.md has each name, and no other."""
    assert column("runners.md", "| | name | runs nodes in |", 1) == list(_RUNNER_CLASSES)
