"""The watchdog: what it runs without Treadle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from treadle.execution.processes import process_tree


def test_the_modules_of_the_watchdog_need_only_the_standard_library():
    """They are imported by their file names, in a process that does not know where Treadle is."""
    command = "import sys; sys.path.append(sys.argv[1]); import process_tree, scratch"
    folder = str(Path(process_tree.__file__).parent)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", command, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
