"""Errors if Kedro is not installed, or its version is not supported; the names and arguments of the runners."""

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
    """Run a script that fails, and return the last line of its error output."""
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_the_error_of_a_missing_kedro_names_the_extra(import_runner):
    """Without Kedro, the error names the extra to install."""
    assert import_runner() == (
        "treadle.errors.RunnerError: treadle.kedro needs Kedro, which is not installed. "
        'Install it with: pip install "treadle[kedro]".'
    )


def test_the_error_of_an_unsupported_kedro_names_the_versions(import_runner, tmp_path):
    """The error of an unsupported version names the installed version and the supported range."""
    info = tmp_path / "kedro-2.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kedro\nVersion: 2.0.0\n", encoding="utf-8")
    message = import_runner(tmp_path)
    assert "works with Kedro 1.0 or later, below 2, but 2.0.0 is installed" in message


def test_importing_the_package_imports_no_kedro():
    """`import treadle.kedro` is cheap: Kedro is imported on first access to the runner."""
    script = "import sys, treadle.kedro; print(any(name.partition('.')[0] == 'kedro' for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_the_error_of_an_unknown_runner_names_one_to_use():
    """For `treadle.kedro.ThreadRunner` it names Kedro's own runner; for a misspelt name, Treadle's."""
    with pytest.raises(AttributeError, match=r"no attribute 'ThreadRunner'; use Kedro's own with --runner=ThreadRunner"):
        _ = treadle.kedro.ThreadRunner
    with pytest.raises(AttributeError, match=r"are treadle\.kedro\.AutoRunner, ParallelRunner and DaskRunner"):
        _ = treadle.kedro.ParalelRunner


@pytest.mark.parametrize("name", ["ParallelRunner", "AutoRunner", "DaskRunner"])
def test_a_runner_is_shown_by_the_name_to_use(name):
    """What logs and Kedro's run parameters say of a runner is the name that `--runner` takes."""
    pytest.importorskip("kedro")
    pytest.importorskip("distributed")
    assert repr(getattr(treadle.kedro, name)(max_workers=2)).startswith(f"treadle.kedro.{name}(max_workers=2")


@pytest.mark.parametrize("name", ["ParallelRunner", "AutoRunner"])
def test_a_flag_of_a_runner_is_true_or_false(name):
    """`--runner-params=skip_unchanged=flase` is an error, and skips nothing."""
    pytest.importorskip("kedro")
    with pytest.raises(treadle.RunnerError, match="skip_unchanged is 'flase': give true or false"):
        getattr(treadle.kedro, name)(skip_unchanged="flase")


def test_an_unknown_start_method_in_kedros_variable(monkeypatch):
    """The error names the variable, because no argument was given."""
    pytest.importorskip("kedro")
    monkeypatch.delenv("TREADLE_START_METHOD", raising=False)
    monkeypatch.setenv("KEDRO_MP_CONTEXT", "frok")
    with pytest.raises(treadle.RunnerError, match=r"Unknown start method 'frok' in KEDRO_MP_CONTEXT\. Did you mean 'fork'\?"):
        treadle.kedro.ParallelRunner()
