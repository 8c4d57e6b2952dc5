"""The example plugin of the documentation, built and installed for real, with all four kinds of entry points."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
FILES = [PLUGIN / "pyproject.toml", *sorted(PLUGIN.glob("treadle_ledger/[a-z]*.py"))]
DOCUMENT = Path(__file__).parents[2] / "docs" / "plugins.md"

REGISTRY = """
from treadle import Pipeline, node


def split(text):
    return text.split()


def register_pipelines():
    return {"__default__": Pipeline([node(split, "text", "words", name="split"), node(len, "words", "size", name="count")])}
"""
CATALOG = """
text: {type: text.TextDataset, filepath: data/text.txt}
words: {type: ledger.LinesDataset, filepath: data/words.txt}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plugin installed in it."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(PLUGIN)]
    subprocess.run(command, check=True, timeout=120, cwd=target)
    return target


@pytest.fixture
def treadle_in(tmp_path, site):
    """`treadle_in("run", …)`: the command in a project, in an environment that has the plugin."""
    root = tmp_path / "shop"
    files = {
        "pyproject.toml": '[tool.treadle]\npackage_name = "ledger_shop"\n',
        "src/ledger_shop/__init__.py": "",
        "src/ledger_shop/pipeline_registry.py": REGISTRY,
        "conf/base/catalog.yml": CATALOG,
        "data/text.txt": "warp and weft",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "treadle", *words],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    run.root = root
    return run


def test_all_that_it_offers(treadle_in):
    """Its runner runs, its dataset is built in workers, its hook writes the ledger, and its command shows it."""
    assert treadle_in("ledger").stdout == "The ledger is empty."
    done = treadle_in("run", "--runner", "half", "--runner-params", "start_method=spawn")
    assert done.returncode == 0, done.stderr
    assert (treadle_in.root / "data" / "words.txt").read_text() == "warp\nand\nweft\n"
    assert re.fullmatch(r"[^,]+,half,2\n", treadle_in("ledger").stdout)
    assert "".join(page.read_text() for page in treadle_in.root.glob("page-worker-*.txt")) == "split\ncount\n"
    assert not (treadle_in.root / "page-main.txt").exists()
    assert treadle_in("run", "--runner", "thread").returncode == 0
    assert (treadle_in.root / "page-main.txt").read_text() == "split\ncount\n"


def test_it_is_known_everywhere(treadle_in):
    """Help, info and check know the plugin."""
    assert re.search(r"Commands of plugins:\s+ledger\s+Show the ledger", treadle_in("--help").stdout)
    assert "treadle-ledger 1.0 (hooks, commands, runners, datasets)" in treadle_in("info").stdout
    checked = treadle_in("check")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_its_hooks_can_be_switched_off(treadle_in):
    """A project may do without its hooks, and keep the rest."""
    (treadle_in.root / "src" / "ledger_shop" / "settings.py").write_text('DISABLE_HOOKS_FOR_PLUGINS = ("treadle-ledger",)\n')
    assert treadle_in("run").returncode == 0
    assert treadle_in("ledger").stdout == "The ledger is empty."


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_documentation_shows_these_files(file):
    """What the documentation shows is what is tested here, file by file."""
    assert file.read_text().strip() in DOCUMENT.read_text()
