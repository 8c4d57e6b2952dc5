"""Projects on disk, and a process state that each test gets back as it was."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from treadle.project import configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = "loomtest"


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """Restore the configured project, the import system and PYTHONPATH."""
    before = (configure._process.project, configure._process.count, list(sys.path), os.environ.get("PYTHONPATH"))
    configure._process.project = None
    yield
    configure._process.project, configure._process.count, sys.path[:] = before[0], before[1], before[2]
    os.environ.pop("PYTHONPATH", None)
    if before[3] is not None:
        os.environ["PYTHONPATH"] = before[3]
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Make a project from the sources of its package, by path."""

    def make(files: dict[str, str] | None = None, name: str = "project") -> Path:
        root = tmp_path / name
        package = root / "src" / PACKAGE
        for path, text in {"__init__.py": "", **(files or {})}.items():
            file = package / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (root / "pyproject.toml").write_text(f'[tool.treadle]\npackage_name = "{PACKAGE}"\n', encoding="utf-8")
        return root

    return make
