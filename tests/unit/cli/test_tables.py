"""Tables of the command line: one line a row in a pipe and where there is room, the last columns below where there is not."""

from __future__ import annotations

import io
import sys

import pytest

from treadle.cli.tables import aligned

ROWS = [("ID", "STATE", "COMMAND"), ("first", "succeeded", "treadle run --runner parallel"), ("second", "failed", "")]


@pytest.fixture
def wide(monkeypatch):
    """Make standard output a terminal of some columns; None for a pipe."""

    def make(columns):
        stream = io.StringIO()
        stream.isatty = lambda: columns is not None
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("COLUMNS", str(columns))

    return make


@pytest.mark.parametrize("columns", [None, 80])
def test_a_row_is_a_line_where_there_is_room(wide, columns):
    """In a pipe, and on a terminal that is wide enough, rows are lines with aligned columns."""
    wide(columns)
    assert list(aligned(ROWS)) == [
        "ID      STATE      COMMAND",
        "first   succeeded  treadle run --runner parallel",
        "second  failed",
    ]


def test_nothing_is_cut_on_a_narrow_terminal(wide):
    """What finds no room stands below its row, with its heading, in lines that fit."""
    wide(30)
    lines = list(aligned(ROWS))
    assert lines == [
        "ID      STATE",
        "first   succeeded",
        "    command treadle run",
        "      --runner parallel",
        "second  failed",
    ]
    assert list(aligned(ROWS, below=2))[:3] == ["ID", "first", "    state succeeded; command"]
