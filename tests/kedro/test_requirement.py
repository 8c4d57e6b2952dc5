"""What is said where Kedro is missing, or is one that Treadle does not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import treadle
import treadle.kedro


@pytest.fixture
def import_runner(tmp_path):
    """Import the runner in a Python that sees Treadle's package and these folders alone; returns the last line it says."""
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "treadle").symlink_to(Path(treadle.__file__).parent)
    return lambda *folders: run_python(
        f"import sys; sys.path[:0] = {[str(alone), *map(str, folders)]!r}; from treadle.kedro import ParallelRunner"
    )


def run_python(script):
    """Run a script that fails; returns the last line of what it says."""
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_a_missing_kedro_is_told_with_the_extra(import_runner):
    """Without Kedro, the one sentence names the extra to install."""
    assert import_runner() == (
        'treadle.errors.RunnerError: treadle.kedro needs Kedro, which is not installed: pip install "treadle[kedro]".'
    )


def test_an_unsupported_kedro_is_told_with_the_versions(import_runner, tmp_path):
    """A Kedro outside the supported range is refused with what is installed and what would do."""
    info = tmp_path / "kedro-2.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kedro\nVersion: 2.0.0\n", encoding="utf-8")
    told = import_runner(tmp_path)
    assert "works with Kedro 1.0 or later, below 2, and 2.0.0 is installed" in told


def test_importing_the_package_imports_no_kedro():
    """`import treadle.kedro` is cheap: Kedro is imported when the runner is asked for."""
    script = "import sys, treadle.kedro; print(any(name.partition('.')[0] == 'kedro' for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_a_runner_that_there_is_none_of_is_told_with_the_one_to_take():
    """`--runner=treadle.kedro.ThreadRunner` is told that Kedro's own is as good; a slip is told which runner there is."""
    with pytest.raises(AttributeError, match=r"no attribute 'ThreadRunner': .* Kedro's own, which is --runner=ThreadRunner"):
        _ = treadle.kedro.ThreadRunner
    with pytest.raises(AttributeError, match=r"the one runner for Kedro projects is treadle\.kedro\.ParallelRunner"):
        _ = treadle.kedro.ParalelRunner
