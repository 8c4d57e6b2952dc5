"""Hiding the main script while workers start."""

from __future__ import annotations

import sys

from treadle.execution.processes.main_module import hidden_main


def test_starts_may_overlap(monkeypatch):
    """The script stays hidden until the last of them has ended, and then has all its attributes again."""
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "script.py", raising=False)
    monkeypatch.setattr(main, "__spec__", "spec", raising=False)
    first, second = hidden_main(), hidden_main()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (hasattr(main, "__file__"), main.__spec__) == (False, None)
    second.__exit__(None, None, None)
    assert (main.__file__, main.__spec__) == ("script.py", "spec")
