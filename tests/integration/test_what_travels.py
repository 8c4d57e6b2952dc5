"""What a script, a notebook, or a module that cannot be imported defines: it works in workers as it does in the main process."""

from __future__ import annotations

import os
import sys

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node

START_METHODS = ("fork", "spawn", "forkserver", "loky")

SCRIPT = """
import functools, inspect, linecache, multiprocessing, sys, typing
from dataclasses import dataclass
from treadle import Catalog, NodeError, ParallelRunner, Pipeline, node
from treadle.io.datasets.pickle import PickleDataset

print("begun")
UserId = typing.NewType("UserId", int)

@functools.lru_cache(maxsize=10)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

@functools.cache
def cached_node(n: UserId):
    return fib(n), fib.cache_parameters()["maxsize"]

@dataclass(slots=True)
class Point:
    x: int
    y: int = 3

@dataclass(slots=True, frozen=True)
class Frozen:
    x: int

class Mixed:
    __slots__ = ("a", "__dict__", "__private")
    def __init__(self):
        self.a, self.b, self.__private = 1, 2, 3
    def all(self):
        return self.a, self.b, self.__private

@functools.singledispatch
def show(value):
    return "object"

@show.register
def _(value: int):
    return "int"

@show.register
def _(value: Point):
    return "Point of " + show(value.x)

class Lazy:
    def __init__(self, n):
        self.n = n
    @functools.cached_property
    def double(self):
        return self.n * 2
    @functools.singledispatchmethod
    def kind(self, value):
        return "other"
    @kind.register
    def _(self, value: int):
        return "int"

def make(n):
    return Point(n), Frozen(n), Mixed(), Lazy(n)

def use(point, frozen, mixed, lazy):
    kinds = isinstance(point, Point), isinstance(frozen, Frozen), hasattr(point, "__dict__")
    return kinds, point.x + point.y + frozen.x, mixed.all(), lazy.double, lazy.kind(1), lazy.kind("a")

def show_all(n):
    return show(n), show(Point(1)), show("a")

def square(x):
    return x * x

def in_pool(n):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(square, range(n))

def make_stored(n):
    return Point(n)

def take_stored(point):
    return point.x

class Shop:
    class Item:
        def __init__(self, n):
            self.n = n
    class ClosedError(Exception):
        pass

def make_nested(n):
    return Shop.Item(n)

def fail_nested(item):
    raise Shop.ClosedError(item.n)

def sources(n):
    return inspect.getsource(square), inspect.getsource(Point).splitlines()[0]

def fail(n):
    raise ValueError("failed here")

cell = "def fail_in_cell(n):\\n    raise ValueError('in a cell')\\n"
linecache.cache["<cell 1>"] = (len(cell), None, cell.splitlines(True), "<cell 1>")
exec(compile(cell, "<cell 1>", "exec"))

made = ["point", "frozen", "mixed", "lazy"]
pipeline = Pipeline([
    node(cached_node, "n", "cached"), node(make, "n", made), node(use, made, "used"), node(show_all, "n", "shown"),
    node(show, "n", "shown_itself"), node(in_pool, "n", "squares"), node(make_stored, "n", "stored"),
    node(take_stored, "stored", "taken"), node(sources, "n", "sources"), node(make_stored, "n", "out", name="out"),
])
with ParallelRunner(2, start_method=sys.argv[1]) as runner:
    result = runner.run(pipeline, Catalog({"n": 5, "stored": PickleDataset(filepath="stored.pkl")}))
    for name in ("cached", "used", "shown", "shown_itself", "squares", "taken"):
        print(name, result[name])
    print("sources", result["sources"] == ("def square(x):\\n    return x * x\\n", "@dataclass(slots=True)"))
    print("out", result["out"] == Point(5))
    try:
        nested = Pipeline([node(make_nested, "n", "item"), node(fail_nested, "item", "r")])
        runner.run(nested, Catalog({"n": 1, "item": PickleDataset(filepath="item.pkl")}))
    except NodeError as error:
        print("nested", error.failure.type_name, type(error.__cause__) is Shop.ClosedError)
    for function in (fail, fail_in_cell):
        try:
            runner.run(Pipeline([node(function, "n", "r")]), Catalog({"n": 1}))
        except NodeError as error:
            print(error.failure.traceback)
import pickle
print("stored by name", pickle.load(open("stored.pkl", "rb")) == Point(5))
"""

EXPECTED = """\
cached (5, 10)
used ((True, True, False), 13, (1, 2, 3), 10, 'int', 'other')
shown ('int', 'Point of int', 'object')
shown_itself int
squares [0, 1, 4, 9, 16]
taken 5
sources True
out True
nested __main__.Shop.ClosedError True
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_a_script(launch, tmp_path, leftovers, method):
    """Cached and dispatched functions, slots, nested classes, Pools, files, sources and tracebacks: as in the main process."""
    (tmp_path / "a_script.py").write_text(SCRIPT)
    launched = launch([sys.executable, "a_script.py", method], tmp_path)
    assert launched.wait() == 0, launched.output
    leftovers.check()
    assert launched.output.count("begun") == 1
    for line in EXPECTED.splitlines():
        assert line in launched.output.splitlines(), launched.output
    assert (
        f'File "{tmp_path}/a_script.py", line {_line("failed here")}, in fail\n    raise ValueError("failed here")'
        in launched.output
    )
    assert "File \"<cell 1>\", line 2, in fail_in_cell\n    raise ValueError('in a cell')" in launched.output
    assert "stored by name True" in launched.output


def _line(text):
    return next(number for number, line in enumerate(SCRIPT.splitlines(), 1) if text in line)


DYNAMIC = '''
import importlib.util, runpy, sys, types
import cloudpickle
from pathlib import Path
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")
SOURCE = """
OFFSET = {offset}
class Made:
    def __init__(self, n):
        self.n = n
def helper(n):
    return n + OFFSET
def run(n):
    return Made(helper(n))
def use(made):
    assert isinstance(made, Made)
    return made.n
"""

def nodes(module, name):
    run, use = (getattr(module, each) if not isinstance(module, dict) else module[each] for each in ("run", "use"))
    return [node(run, "n", f"{name} made"), node(use, f"{name} made", name), node(run, "n", f"{name} out", name=f"{name} out")]

def write(name, offset):
    path = Path("elsewhere") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(SOURCE.format(offset=offset))
    return path

spec = importlib.util.spec_from_file_location("from_file", write("from_file.py", 1))
from_file = importlib.util.module_from_spec(spec)
sys.modules["from_file"] = from_file
spec.loader.exec_module(from_file)

made = types.ModuleType("made_here")
sys.modules["made_here"] = made
exec(SOURCE.format(offset=2), vars(made))

namespace = runpy.run_path(str(write("by_path.py", 3)))

sys.path.insert(0, "elsewhere")
write("registered.py", 4)
import registered
registered.OFFSET = 40
cloudpickle.register_pickle_by_value(registered)

# The file of another module of the same name comes first on the path of a worker.
write("shadowed.py", 5)
shadow = importlib.util.spec_from_file_location("shadowed", write("other.py", 50))
shadowed = importlib.util.module_from_spec(shadow)
sys.modules["shadowed"] = shadowed
shadow.loader.exec_module(shadowed)

modules = {"from_file": from_file, "made": made, "by_path": namespace, "registered": registered, "shadowed": shadowed}
pipeline = Pipeline([each for name, module in modules.items() for each in nodes(module, name)])
result = ParallelRunner(2, start_method=sys.argv[1]).run(pipeline, Catalog({"n": 100}))
for name, module in modules.items():
    kind = module["Made"] if isinstance(module, dict) else module.Made
    print(name, result[name], isinstance(result[f"{name} out"], kind))
'''


@pytest.mark.parametrize("method", START_METHODS)
def test_modules_that_a_worker_cannot_import(launch, tmp_path, method):
    """What they define travels by value, and so does what was registered with cloudpickle."""
    (tmp_path / "a_script.py").write_text(DYNAMIC)
    launched = launch([sys.executable, "a_script.py", method], tmp_path)
    assert launched.wait() == 0, launched.output
    expected = ["from_file 101 True", "made 102 True", "by_path 103 True", "registered 140 True", "shadowed 150 True"]
    assert launched.output.splitlines() == ["begun", *expected]


RUN_AT_IMPORT = """
from treadle import Catalog, ParallelRunner, Pipeline, node

print("begun")

def double(n):
    return 2 * n

pipeline = Pipeline([node(double, "n", "doubled")])
doubled = ParallelRunner(1, start_method={method!r}).run(pipeline, Catalog({{"n": 4}}))["doubled"]
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_a_run_while_its_module_is_imported(launch, tmp_path, method):
    """A module that runs a pipeline of its own functions when it is imported does so once."""
    (tmp_path / "at_import.py").write_text(RUN_AT_IMPORT.format(method=method))
    launched = launch("import at_import\nprint('doubled', at_import.doubled)", tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output.splitlines() == ["begun", "doubled 8"]


TEST_MODULE = """
from treadle import Catalog, ParallelRunner, Pipeline, node

class Made:
    pass

def make():
    return Made()

def test_run():
    result = ParallelRunner(1, start_method={method!r}).run(Pipeline([node(make, None, "made")]), Catalog())
    assert isinstance(result["made"], Made)
"""


@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_pytest_s_import_mode(launch, tmp_path, method):
    """The functions of a test module that `pytest --import-mode=importlib` has loaded travel by value."""
    folder = tmp_path / "some tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(TEST_MODULE.format(method=method))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(folder)]
    launched = launch(words, tmp_path)
    assert launched.wait() == 0, launched.output


UNIMPORTABLE = """
import threading
from pathlib import Path

class Kept:
    def __init__(self, filepath):
        self._path = Path(filepath)
        self._lock = threading.Lock()

    def load(self):
        return self._path.read_text()

    def save(self, data):
        self._path.write_text(data)

def shout(value):
    return value.upper()
"""


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("as_class", [True, False])
def test_types_of_datasets_that_a_worker_cannot_import(tmp_path, unimportable, method, as_class):
    """A catalog has classes and validators of a script, a notebook or a file, or their paths, also inside of other datasets."""
    module = unimportable(UNIMPORTABLE)
    kind = module.Kept if as_class else "unimportable.Kept"
    (tmp_path / "parts").mkdir()
    catalog = Catalog.from_config(
        {
            "text": {"type": kind, "filepath": str(tmp_path / "text"), "validator": "unimportable.shout"},
            "memory": {"type": "MemoryDataset", "validator": "unimportable.shout"},
            "parts": {"type": "partitions.PartitionedDataset", "path": str(tmp_path / "parts"), "dataset": {"type": kind}},
        }
    )
    nodes = [
        node(lambda: "x", None, "text"),
        node(lambda text: f"{text}y", "text", "memory"),
        node(lambda memory: {"part": memory}, "memory", "parts"),
        node(lambda parts: {name: load() for name, load in parts.items()}, "parts", "end"),
    ]
    with ParallelRunner(max_workers=1, start_method=method) as runner:
        assert runner.run(Pipeline(nodes), catalog)["end"] == {"part": "XY"}


GENERATED = """
import os
import threading

def make():
    lock = threading.Lock()

    class Process:
        def __init__(self, filepath):
            self._path = filepath

        def load(self):
            with lock:
                return os.getpid()

        def save(self, data):
            pass

    return Process

Process = make()
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_a_generated_type_that_a_worker_can_import(tmp_path, monkeypatch, method):
    """Workers import it by its path in the catalog, although neither a pickle nor its own name leads to it."""
    (tmp_path / "generated_types.py").write_text(GENERATED)
    monkeypatch.delitem(sys.modules, "generated_types", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = Catalog.from_config({"process": {"type": "generated_types.Process", "filepath": str(tmp_path / "file")}})
    with ParallelRunner(max_workers=1, start_method=method) as runner:
        loaded_in = runner.run(Pipeline([node(abs, "process", "loaded_in")]), catalog)["loaded_in"]
    assert loaded_in != os.getpid()
