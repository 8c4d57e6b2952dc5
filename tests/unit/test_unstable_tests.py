"""A test that fails once of twice is listed and stops nobody; one that fails twice does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "tests"

MODULE = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range({count}))
def test_fails(number):
    path = pathlib.Path(f"ran_{{number}}")
    ran = path.exists()
    path.touch()
    assert {passes}

def test_passes():
    pathlib.Path("passes").open("a").write("x")
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the script on a module of tests that fail: its exit code, and what it lists."""

    def run(count, *options, passes):
        (tmp_path / "test_it.py").write_text(MODULE.format(count=count, passes=passes))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environ = {"PATH": path, "CI_UNSTABLE": str(tmp_path / "unstable"), "TOX_ENV_NAME": "unit"}
        command = ["bash", str(SCRIPT), "-c", "/dev/null", f"--rootdir={tmp_path}", "test_it.py", *options]
        code = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=False).returncode
        listed = tmp_path / "unstable"
        return code, listed.read_text().splitlines() if listed.exists() else []

    return run


def test_a_test_that_passes_later_is_listed(run, tmp_path):
    """Tests that passed do not run again."""
    code, listed = run(1, passes="ran")
    assert (code, listed) == (0, ["UNSTABLE in unit, failed once of twice: test_it.py::test_fails[0]"])
    assert (tmp_path / "passes").read_text() == "x"


def test_a_test_that_fails_twice_fails(run):
    """It is broken."""
    assert run(1, passes=False) == (1, [])


def test_many_failures_are_no_accident(run, tmp_path):
    """They do not run again: it would take long, and the cause is in all of them."""
    assert run(6, passes="ran") == (1, [])
    assert (tmp_path / "passes").read_text() == "x"


@pytest.mark.parametrize("option", ["-x", "-vx", "--maxfail=1"])
def test_tests_that_were_stopped(run, tmp_path, option):
    """The tests after the one that failed have not run, so they cannot have passed."""
    assert run(1, option, passes="ran") == (1, [])
    assert not (tmp_path / "passes").exists()


def test_a_test_that_ends_pytest(run, tmp_path):
    """It is not known what else would have failed."""
    assert run(1, passes="ran or os._exit(1)") == (1, [])
    assert not (tmp_path / "passes").exists()
