"""The early forkserver: the libraries it imports are read from source files, and it is used only if they were right."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from treadle.execution.executors.loky import preload
from treadle.execution.executors.loky.preload import EarlyServer, imported_libraries

SOURCE = """
import os, pandas
import pandas as pd
from sklearn.ensemble import RandomForestRegressor, forest
from sklearn import linear_model as lm, SomeClass  # why
import numpyro
from scipy import (
    stats,
)
if True:
    import matplotlib
def late():
    import pyarrow
"""


def test_imports_are_found_in_the_text(tmp_path):
    """Module-level imports are found, and no others; submodules after `from` too."""
    file = tmp_path / "nodes.py"
    file.write_text(SOURCE)
    broken = tmp_path / "broken.py"
    broken.write_bytes(b"import numpy\n\xff\xfe")
    found = imported_libraries([str(file), str(broken), str(tmp_path / "gone.py")])
    assert {"pandas", "sklearn", "sklearn.ensemble", "sklearn.linear_model", "scipy"} <= set(found)
    assert not any(name.startswith(("numpy", "matplotlib", "pyarrow")) for name in found)
    assert "sklearn.SomeClass" not in found


@pytest.mark.parametrize(
    ("roots", "loaded", "fits"),
    [
        ({"pandas", "sklearn"}, {"pandas", "numpy", "sklearn", "scipy"}, True),
        ({"pandas"}, {"pandas", "numpy", "pyarrow"}, True),
        (set(), set(), True),
        ({"pandas", "matplotlib"}, {"pandas", "numpy"}, False),  # the workers would wait for an import that no node needs
        ({"pandas"}, {"pandas", "numpy", "sklearn", "scipy"}, False),  # each worker would have to import it
        (set(), {"numpy"}, False),
    ],
)
def test_a_server_is_used_if_it_has_the_libraries_of_this_process(monkeypatch, roots, loaded, fits):
    """Neither fewer nor more; dependencies of a library count."""
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] not in preload.LIBRARIES}
    monkeypatch.setattr(sys, "modules", {**modules, **dict.fromkeys(loaded, sys)})
    early = EarlyServer(0, frozenset(roots), preload._environment(), ())
    assert preload._matches(early) is fits
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    assert preload._matches(early) is fits
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert not preload._matches(early)


SCRIPT = """
import os
import psutil
from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.execution.executors.loky import preload

def run():
    with ParallelRunner(1, start_method="forkserver") as runner:
        return runner.run(Pipeline([node(abs, "x", "y")]), Catalog({"x": -1}))["y"]

def start_early():
    return ParallelRunner(1, start_method="forkserver").start_early([__file__])

def pid():
    return preload._forkserver_attribute("_forkserver_pid")

listed = preload._forkserver_attribute("_preload_modules")
with start_early():  # no pool uses it
    first = pid()
    assert psutil.pid_exists(first)
assert not psutil.pid_exists(first) and pid() is None and preload._forkserver_attribute("_preload_modules") == listed
with start_early():  # the pool uses it
    second = pid()
    with start_early():  # another session shares it
        assert pid() == second
    assert run() == 1
assert pid() == second and psutil.pid_exists(second)
preload.forkserver._forkserver._stop()
with start_early():  # it was started with another environment
    third = pid()
    os.environ["LATER"] = "1"
    assert run() == 1
assert pid() != third and not psutil.pid_exists(third) and psutil.pid_exists(pid())
for method in ("fork", "spawn", "loky"):
    before = pid()
    with ParallelRunner(1, start_method=method).start_early([]):
        assert pid() == before
print("well")
"""


def test_an_early_server_is_used_replaced_or_stopped(tmp_path):
    """A pool uses it if it matches, starts another otherwise, and an unused one is stopped at once."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert (done.stdout, done.stderr) == ("well\n", "")


STRUCK = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
IMPORTED_IN = os.getpid()

def describe():
    handler, blocked = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return IMPORTED_IN, handler is signal.default_int_handler, signal.SIGINT in blocked
"""

INTERRUPTED = """
import multiprocessing
from multiprocessing import forkserver
from treadle import Catalog, ParallelRunner, Pipeline, node

if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["struck"])
    with ParallelRunner(1, start_method="forkserver") as runner:
        assert runner.run(Pipeline([node(abs, "x", "y")]), Catalog({"x": -1}))["y"] == 1
    import struck_later
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(struck_later.describe) == (forkserver._forkserver._forkserver_pid, True, False)
    print("well")
"""


def test_ctrl_c_while_the_server_imports_is_ignored(tmp_path):
    """It prints nothing, the server goes on, and what it forks for other code has Python's own handler."""
    (tmp_path / "struck.py").write_text(STRUCK)
    (tmp_path / "struck_later.py").write_text("def describe():\n    import struck\n    return struck.describe()\n")
    (tmp_path / "script.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("well\n", "")
