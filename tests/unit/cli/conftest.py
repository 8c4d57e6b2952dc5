"""A project on disk that commands run in, in this process, and leave no trace of."""

from __future__ import annotations

import logging
import sys

import pytest

from treadle.project import configure
from treadle.project.logging import apply_levels, snapshot_levels

_COUNT = iter(range(1_000_000))


@pytest.fixture(autouse=True)
def _logging_stays():
    """Commands set logging up; each test finds it as it was."""
    levels, handlers = snapshot_levels(), list(logging.root.handlers)
    yield
    logging.root.handlers[:] = handlers
    apply_levels(levels, snapshot_levels())


@pytest.fixture
def make_project(tmp_path, monkeypatch):
    """Make a project with the given files in its package, and go there; afterwards the process is as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(configure._process, "project", None)
    package = f"cli_project_{next(_COUNT)}"

    def make(**files):
        root = tmp_path / "project"
        (root / "src" / package).mkdir(parents=True)
        (root / "pyproject.toml").write_text(f'[tool.treadle]\npackage_name = "{package}"\n')
        for name, content in {"__init__": "", **files}.items():
            (root / "src" / package / f"{name}.py").write_text(content)
        (root / "notebooks").mkdir()
        monkeypatch.chdir(root / "notebooks")
        return root

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
