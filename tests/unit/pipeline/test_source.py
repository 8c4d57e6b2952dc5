"""The code of a node for a notebook cell; `tests/integration/test_notebooks.py` runs such cells."""

from __future__ import annotations

import importlib
import linecache

import pytest

from treadle.pipeline import node
from treadle.pipeline.source import notebook_cell


@pytest.mark.parametrize("edited", ['"""\n\ndef add(', "\n\ndef add(x, (\n"])
def test_a_file_that_is_being_edited_is_not_shown(tmp_path, monkeypatch, edited):
    """The module was imported before, and its file is not valid now: the cell uses the function that was imported."""
    name = f"edited_{len(edited)}"
    file = tmp_path / f"{name}.py"
    file.write_text("\n\ndef add(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    added = node(module.add, "x", "y", name="add")
    assert "def add(x):" in notebook_cell(added, known=lambda _: True)
    file.write_text(edited)
    linecache.checkcache()
    cell = notebook_cell(added, known=lambda _: True)
    assert "def add" not in cell
    assert "function(" in cell
