"""The progress of the tests themselves, as tox shows it in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_progress_in_whole_lines_with_the_environment(tmp_path):
    """Under tox and in a pipe there are no dots: lines with the environment's name say how far it is and what failed."""
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "reporting.py").write_text((TESTS / "reporting.py").read_text())
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip\ndef test_c(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "TOX_ENV_NAME": "py312", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert lines == ["[py312] 3 tests", "[py312] FAILED test_some.py::test_b", "[py312] 100 % of 3 tests, 1 failed"], done.stdout
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
