"""The thread pools of numeric libraries in forked workers: limited, and not started for that."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from threadpoolctl import threadpool_info

from treadle import Catalog, ParallelRunner, Pipeline, node


def _product() -> float:
    return float((np.ones((300, 300)) @ np.ones((300, 300)))[0, 0])


def _native_threads() -> int:
    """Return how many threads of this process no Python code has started."""
    return len(list(Path("/proc/self/task").iterdir())) - threading.active_count()


def _look() -> tuple[int, list[int]]:
    return _native_threads(), [each["num_threads"] for each in threadpool_info() if each["internal_api"] == "openblas"]


def _use(_before: object) -> tuple[float, int]:
    return _product(), _native_threads()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_openblas_is_limited_before_its_threads_start(method):
    """A forked worker has OpenBLAS without its threads. Starting them, to limit them, would keep a core busy for 50 ms."""
    assert _product() == 300.0  # this process has used the library
    nodes = [node(_look, None, "before", name="look"), node(_use, "before", "after", name="use")]
    nodes.append(node(lambda *results: results, ["before", "after"], "found", name="return"))
    with ParallelRunner(max_workers=os.cpu_count(), start_method=method) as runner:
        (threads, limits), after = runner.run(Pipeline(nodes), Catalog())["found"]
    assert threads == 0
    assert limits
    assert set(limits) == {1}
    assert after == (300.0, 0)


LOADED_LATER = """
import os, sys
from treadle import Catalog, ParallelRunner, Pipeline, node

def limits():
    from threadpoolctl import threadpool_info
    return {each["num_threads"] for each in threadpool_info() if each["internal_api"] == "openblas"}

def limits_in_a_worker():
    return ParallelRunner(os.cpu_count(), start_method="fork").run(Pipeline([node(limits, None, "found")]), Catalog())["found"]

print("numpy" in sys.modules, limits_in_a_worker())
import numpy
print("numpy", limits_in_a_worker())
import scipy.linalg  # usually has an OpenBLAS of its own
print("scipy", limits_in_a_worker())
import ctypes, shutil
from threadpoolctl import threadpool_info
file = next(each["filepath"] for each in threadpool_info() if each["internal_api"] == "openblas")
ctypes.CDLL(shutil.copy(file, "."))  # one more, which no module belongs to
print(len([each for each in threadpool_info() if each["internal_api"] == "openblas"]) > 2, limits_in_a_worker())
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="numpy and scipy have no OpenBLAS there")
def test_libraries_loaded_after_the_first_fork_are_limited(launch, tmp_path):
    """The parent looks for them again before a fork if any library was loaded since, also without the import of a module."""
    pytest.importorskip("scipy")
    launched = launch(LOADED_LATER, tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "False set()\nnumpy {1}\nscipy {1}\nTrue {1}\n"


REGISTERED = """
import ctypes, os, shutil
import numpy, threadpoolctl
from treadle import Catalog, ParallelRunner, Pipeline, node

class WoolController(threadpoolctl.OpenBLASController):
    filename_prefixes = ("wool",)

def limits():
    return [each["num_threads"] for each in threadpoolctl.threadpool_info() if each["prefix"] == "wool"]

def limits_in_a_worker():
    return ParallelRunner(os.cpu_count(), start_method="fork").run(Pipeline([node(limits, None, "found")]), Catalog())["found"]

file = next(each["filepath"] for each in threadpoolctl.threadpool_info() if each["internal_api"] == "openblas")
ctypes.CDLL(shutil.copy(file, "./wool.so"))
print(limits_in_a_worker())
threadpoolctl.register(WoolController)
print(limits_in_a_worker())
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="numpy has no OpenBLAS there")
@pytest.mark.skipif(not hasattr(threadpoolctl, "register"), reason="controllers can be registered since threadpoolctl 3.2")
def test_libraries_of_registered_controllers_are_limited(launch, tmp_path):
    """The parent looks for the libraries of all controllers, and again if one was registered since the last fork."""
    launched = launch(REGISTERED, tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "[]\n[1]\n"
