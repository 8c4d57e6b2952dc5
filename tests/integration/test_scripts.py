"""Plain scripts without a `__main__` guard, under every start method: they end by themselves, right, and leave nothing."""

from __future__ import annotations

import pytest

START_METHODS = ("fork", "spawn", "forkserver", "loky")


@pytest.fixture(params=START_METHODS)
def method(request):
    """Each start method, by name."""
    return request.param


@pytest.fixture
def succeed(launch, leftovers):
    """`succeed(script, cwd, **environment)`: run a script to its end; return what it printed."""

    def run(script, cwd, code=0, **environment):
        launched = launch(script, cwd, **environment)
        assert launched.wait() == code, launched.output
        leftovers.check()
        assert launched.output.count("begun") == 1, "a worker ran the script again"
        return launched.output

    return run


PROJECT_MODE = """
from pathlib import Path
from treadle import Session, bootstrap_project

print("begun")
bootstrap_project(Path.cwd())
with Session.create() as session:
    result = session.run(runner="parallel")
print("measured", result["measured"])
"""


def test_project_mode(succeed, make_loom, method):
    """The first snippet of the README: project mode, and a result that is loaded after the workers are gone."""
    root = make_loom()
    output = succeed(PROJECT_MODE, root, TREADLE_START_METHOD=method, LOOM_TALLY=str(root / "tally.txt"))
    assert "measured 31249875000.0" in output
    assert (root / "data" / "report.txt").read_text() == "0.5 26.5 10 sesame: 26.50"


PACKAGED_MODE = """
from treadle import ParallelRunner, Session, configure_project

print("begun")
configure_project("loom")
with ParallelRunner(max_workers=2) as runner:
    for day in [1, 2, 3]:
        with Session.create(extra_params={"day": day}) as session:
            print(session.run("batch", runner=runner)["joined"])
print(runner)
"""


def test_packaged_mode(succeed, make_loom, method):
    """The second snippet: packaged mode, and one warm runner over several sessions."""
    root = make_loom()
    output = succeed(
        PACKAGED_MODE, root, TREADLE_START_METHOD=method, PYTHONPATH=str(root / "src"), LOOM_TALLY=str(root / "tally.txt")
    )
    for day in (1, 2, 3):
        assert f"{{'day': {day}, 'value': {day * 200_000.0}}}" in output
    assert f"ParallelRunner(max_workers=2, start_method='{method}')" in output


LIBRARY_MODE = """
from dataclasses import dataclass
from treadle import Catalog, MemoryDataset, ParallelRunner, Pipeline, node

print("begun")

@dataclass
class Table:
    rows: int

class Model:
    def __init__(self, table):
        self.table = table

def clean(raw):
    return Table(raw + 1)

def fit(table, params):
    assert isinstance(table, Table)
    return Model(table)

pipeline = Pipeline([node(clean, "raw", "table", name="clean"), node(fit, ["table", "params:fit"], "model")])
runner = ParallelRunner(max_workers=2, start_method={method!r})
result = runner.run(pipeline, Catalog({{"raw": MemoryDataset(1), "params:fit": MemoryDataset({{}})}}))
assert isinstance(result["model"], Model)
assert isinstance(result["model"].table, Table)
print("rows", result["model"].table.rows)
"""


def test_library_mode(succeed, tmp_path, method):
    """The third snippet: functions and classes of the script itself travel, and come back as what they were."""
    assert "rows 2" in succeed(LIBRARY_MODE.format(method=method), tmp_path)


UNCLOSED = """
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")
runner = ParallelRunner(max_workers=2, start_method={method!r})
runner.__enter__()
print("length", runner.run(Pipeline([node(len, "text", "length")]), Catalog({{"text": "abc"}}))["length"])
"""


def test_forgotten_close(succeed, tmp_path, method):
    """A warm runner that nobody closes does not hold up the end of the process, and is cleaned up."""
    assert "length 3" in succeed(UNCLOSED.format(method=method), tmp_path)


EXIT_INSIDE = """
import sys
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")
with ParallelRunner(max_workers=2, start_method={method!r}) as runner:
    runner.run(Pipeline([node(len, "text", "length")]), Catalog({{"text": "abc"}}))
    sys.exit(7)
"""


def test_exit_inside_with(succeed, tmp_path, method):
    """`sys.exit` inside the runner's `with` ends the process with its code."""
    succeed(EXIT_INSIDE.format(method=method), tmp_path, code=7)


FROM_THREADS = """
import threading
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")
lengths = []

def work(runner, text):
    result = runner.run(Pipeline([node(len, "text", "length")]), Catalog({{"text": text}}))
    lengths.append(result["length"])

with ParallelRunner(max_workers=2, start_method={method!r}) as shared:
    threads = [threading.Thread(target=work, args=(shared, "x" * length)) for length in range(4)]
    threads.append(threading.Thread(target=work, args=(ParallelRunner(1, start_method={method!r}), "own")))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(sorted(lengths))
"""


def test_from_threads(succeed, tmp_path, method):
    """Threads may share a runner, whose runs queue, and may have their own beside it."""
    assert "[0, 1, 2, 3, 3]" in succeed(FROM_THREADS.format(method=method), tmp_path)


POOL_INSIDE = """
import multiprocessing
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")

def sizes(texts):
    with multiprocessing.Pool(2) as pool:
        return pool.map(len, texts)

pipeline = Pipeline([node(sizes, "texts", "sizes")])
result = ParallelRunner(1, start_method={method!r}).run(pipeline, Catalog({{"texts": ["a", "bc"]}}))
print(result["sizes"])
"""


def test_pool_inside_a_node(succeed, tmp_path, method):
    """A node may use a multiprocessing.Pool of its own."""
    assert "[1, 2]" in succeed(POOL_INSIDE.format(method=method), tmp_path)


THREAD_LEFT = """
import threading
from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.execution.executors.loky import slot

print("begun")
slot.STOP_SECONDS = 0.5

def leave():
    threading.Thread(target=threading.Event().wait).start()
    return 1

print("left", ParallelRunner(1, start_method={method!r}).run(Pipeline([node(leave, None, "a")]), Catalog({{}}))["a"])
"""


def test_node_that_leaves_a_thread(succeed, tmp_path):
    """A worker that does not end, because a node left a thread running in it, is killed, and the run ends with a warning."""
    output = succeed(THREAD_LEFT.format(method="loky"), tmp_path)
    assert "left 1" in output
    assert "did not exit within" in output


DEFAULT_METHOD = """
import multiprocessing
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")
lock = multiprocessing.Lock()
runner = ParallelRunner(1)
runner.run(Pipeline([node(len, "text", "length")]), Catalog({"text": "abc"}))
print("method", runner.start_method, multiprocessing.get_start_method(allow_none=True))
"""


def test_choosing_changes_nothing(succeed, tmp_path):
    """A run leaves the application's own start method as it was."""
    output = succeed(DEFAULT_METHOD, tmp_path)
    assert "method fork" in output or "method forkserver forkserver" in output
