"""The examples of the pages in docs/ run as they stand, each page from top to bottom in a new project of `treadle new`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from treadle.cli.scaffold import create_project

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "notebooks",
    "embedding",
    "catalog",
    "configuration",
    "pipelines",
    "runners",
    "policies",
    "sessions",
    "resuming",
    "distributed",
    "report",
    "json-output",
    "validation",
    "serving",
)
SKIPPED = "# Node clean"
"""The example of a generated cell stands for itself; tests/integration/test_notebooks.py runs such cells."""

SLOW_DISK = "ignore:Creating scratch directories is taking:UserWarning"
"""What dask says when the disk is slow, which is no fault of a page. It is ignored in this process as well (pyproject.toml)."""


def blocks(page, language):
    """Return the fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run(page, tmp_path):
    """Every Python example of the page runs, in order, in one script without a main guard."""
    root = create_project("starter", tmp_path / "shop", project_name="Shop", package_name="shop")
    examples = [block for block in blocks(page, "python") if not block.startswith((SKIPPED, "# src/"))]
    assert examples
    for block in (*blocks(page, "yaml"), *blocks(page, "python")):
        name = re.match(r"# ((?:conf|src)/\S+)", block)
        if name:
            file = root / name.group(1)
            file.write_text((file.read_text() if file.exists() else "") + "\n" + block)
    run_script(root, "\n".join(examples))


@pytest.mark.parametrize("number", range(3))
def test_snippets_of_the_readme_run(number, tmp_path):
    """Each Python snippet of the README runs by itself, as it is pasted into a file in the project that the README makes."""
    root = create_project("starter", tmp_path / "my-project", project_name="my-project", package_name="my_project")
    snippets = blocks("../README", "python")
    assert len(snippets) == 3
    assert run_script(root, snippets[number]).strip()


def run_script(root, text):
    """Run a script in a project; return what it printed."""
    script = root / "page.py"
    script.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TREADLE_ENV"}}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", SLOW_DISK, str(script)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
