"""Whatever is raised around a node, outside of its own code too, ends the attempt with an error; the run never hangs."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, ThreadRunner, node
from treadle.errors import NodeError, WorkerLostError
from treadle.events import WorkerLost
from treadle.execution.executors import threads


class Unkeepable:
    """Cannot be copied, as a value for which there is not enough memory."""

    def __reduce__(self):
        raise MemoryError("no room for a copy")


class Exits:
    """Ends the process when it is pickled or copied."""

    def __reduce__(self):
        sys.exit(3)


SHARED = []
"""Values that nodes of this process keep, so that they have to be copied when they are saved."""


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("kind", "text"), [(Unkeepable, "emory"), (Exits, "")])
def test_a_value_that_cannot_be_kept_fails_its_node(any_runner, way, tmp_path, kind, text, is_shared):
    """The error is that of copying, once: not a lost worker, and nothing runs a second time.

    A value that nothing else refers to is not copied when it is saved, but for the first of two nodes that take it.
    """

    def make():
        with (tmp_path / "calls").open("a") as calls:
            calls.write("x")
        value = kind()
        if is_shared:
            SHARED.append(value)
        return value

    nodes = [
        node(make, None, "odd", name="make"),
        node(lambda odd: type(odd).__name__, "odd", "one", name="one"),
        node(lambda odd, one: one + type(odd).__name__, ["odd", "one"], "two", name="two"),
    ]
    with pytest.raises(NodeError) as caught:
        any_runner.run(Pipeline(nodes), Catalog())
    SHARED.clear()
    is_pickled = kind is Unkeepable and way not in ("sequential", "thread")  # the other kind stays in its worker
    assert caught.value.node == ("make" if is_shared or is_pickled else "one")
    assert not isinstance(caught.value, WorkerLostError)
    assert caught.value.failure.dataset == "odd"
    assert text in str(caught.value)
    assert (tmp_path / "calls").read_text() == "x"
    assert any_runner.run(Pipeline([node(lambda: 1, None, "n")]), Catalog())["n"] == 1


@pytest.mark.parametrize("method", ["__str__", "__reduce__", "__getattribute__"])
def test_an_exception_whose_own_code_exits(any_runner, method):
    """Printing or pickling an exception runs its own code; where that ends the process, the node has failed all the same."""

    class LeavingError(Exception):
        pass

    def leave(*_arguments):
        raise SystemExit(4)

    setattr(LeavingError, method, leave)

    def fail():
        raise LeavingError("the message")

    with pytest.raises(NodeError, match="Node 'leaving' failed") as caught:
        any_runner.run(Pipeline([node(fail, None, "x", name="leaving")]), Catalog())
    assert caught.value.failure.type_name.endswith(
        "LeavingError" if method != "__getattribute__" else ("LeavingError", "SystemExit")
    )
    assert not isinstance(caught.value, WorkerLostError)


def test_a_library_that_another_node_is_importing(tmp_path, monkeypatch):
    """A module of which only the first lines have run has no names yet; values of other kinds are handed on meanwhile."""
    (tmp_path / "numpy.py").write_text(
        "import threading\nimporting, go_on = threading.Event(), threading.Event()\nimporting.set()\ngo_on.wait(60)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("numpy", "pandas")}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    begun, taken = threading.Event(), threading.Event()

    def make(_start):
        begun.wait(60)
        sys.modules["numpy"].importing.wait(60)
        return {"plain": [1]}

    def take(value, _other=None):
        taken.set()
        return value["plain"]

    def import_slowly(_start):
        threading.Thread(target=importlib.import_module, args=("numpy",), daemon=True).start()
        while not hasattr(sys.modules.get("numpy"), "importing"):
            threading.Event().wait(0.001)
        begun.set()
        assert taken.wait(60)
        sys.modules["numpy"].go_on.set()
        return "done"

    nodes = [
        node(make, "start", "value", name="make"),
        node(import_slowly, "start", "imported", name="import_slowly"),
        node(take, "value", "one", name="one"),
        node(take, ["value", "one"], "two", name="two"),
    ]
    result = ThreadRunner(2).run(Pipeline(nodes), Catalog({"start": 0}))
    assert (result["two"], result["imported"]) == ([1], "done")


def test_an_exception_that_another_thread_raises_in_a_worker(tmp_path):
    """It arrives anywhere: in the node, or, as here, in what surrounds it; the node has failed, and the thread works on."""
    (tmp_path / "first").touch()

    class Unsettled:
        def __init__(self):
            self.itself = self  # so that it is copied when it is saved

        def __reduce__(self):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit))
            for _ in range(1000):
                pass
            return str, ("late",)

    def make():
        return Unsettled()

    with ThreadRunner(1) as runner:
        with pytest.raises(NodeError, match="Node 'make'"):
            runner.run(
                Pipeline([node(make, None, "x", name="make"), node(str, "x", "y", name="y"), node(repr, "x", "z", name="z")]),
                Catalog(),
            )
        assert runner.run(Pipeline([node(lambda: 1, None, "n")]), Catalog())["n"] == 1


def test_a_worker_thread_that_dies_is_replaced(monkeypatch):
    """Its node is run by another thread; a node on which threads die each time is at fault."""
    deaths = []

    run_job = threads._run_job

    def die_or_run(*arguments):
        if len(deaths) < limit:
            deaths.append(1)
            raise MemoryError("for the report too")
        run_job(*arguments)

    monkeypatch.setattr(threads, "_run_job", die_or_run)
    pipeline = Pipeline([node(lambda: 1, None, "n", name="only")])
    with ThreadRunner(2) as runner:
        limit = 1
        assert runner.run(pipeline, Catalog())["n"] == 1
        deaths.clear()
        limit = 5
        with pytest.raises(WorkerLostError, match="MemoryError: for the report too") as caught:
            runner.run(pipeline, Catalog())
        assert (caught.value.node, len(deaths)) == ("only", 2)
        limit = 0
        assert runner.run(pipeline, Catalog())["n"] == 1


@contextmanager
def no_thread_asks():
    """Let each thread that waits for the interpreter wait until it is released, and not ask for it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    # A thread that waits already would still ask after the interval of before, unless another has had the interpreter since.
    other = threading.Thread(target=int)
    other.start()
    other.join()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("forked_by", "ending"),
    [("python", "returns"), ("python", "raises"), ("python", "exits"), ("library", "returns"), ("library", "raises")],
)
def test_a_forked_child_that_comes_back_from_the_node(any_runner, tmp_path, capsys, forked_by, ending):
    """The child is ended, with a message; the node goes on in the process that it began in, and prints and saves everything once.

    It makes no difference whether Python has forked, or a library in another language, of which Python learns nothing. If another
    thread asked for the interpreter while such a library forks, the child would wait for ever for that thread, which it does not
    have. So during the run no thread asks: each waits until the interpreter is released.
    """

    def fork():
        print("printed", end=" ")
        with no_thread_asks(), warnings.catch_warnings():  # in a worker, too
            warnings.simplefilter("ignore")  # about forks beside threads
            child = os.fork() if forked_by == "python" else ctypes.PyDLL(None).fork()
        if child == 0:
            sys.stderr = (tmp_path / "said").open("w")
            if ending == "raises":
                raise ValueError("in the child")
            if ending == "exits":
                sys.exit(7)
            return "child"
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("once")
        return status

    nodes = [node(fork, None, "status", name="forks"), node(_note, ["status", "file"], None, name="after")]
    with no_thread_asks():
        any_runner.run(Pipeline(nodes), Catalog({"file": tmp_path / "saved"}))
    assert capsys.readouterr().out == "printed once\n"
    assert (tmp_path / "saved").read_text() == ("7\n" if ending == "exits" else "1\n")
    said = (tmp_path / "said").read_text()
    if ending == "exits":
        assert said == ""
    else:
        assert "node 'forks' forked" in said
        assert ("ValueError: in the child" in said) == (ending == "raises")


def test_a_lock_that_a_thread_holds_while_a_library_forks(start_method, tmp_path):
    """The child, which does not have that thread, waits for none of the worker's locks before it ends."""

    def fork():
        from treadle.execution.worker import bootstrap

        lock, held, go_on = bootstrap._this_process[0].channel.lock, threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                go_on.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        with no_thread_asks():
            child = ctypes.PyDLL(None).fork()
        if child == 0:
            sys.stderr = (tmp_path / "said").open("w")
            return None
        go_on.set()
        holder.join()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with ParallelRunner(1, start_method) as runner:
        assert runner.run(Pipeline([node(fork, None, "status", name="forks")]), Catalog())["status"] == 1
    assert "node 'forks' forked" in (tmp_path / "said").read_text()


def _note(status, file):
    with Path(file).open("a") as saved:
        saved.write(f"{status}\n")


def test_an_error_of_a_worker_outside_of_its_nodes(start_method, caplog):
    """What is said of the worker is the error, and not that the kernel killed it; its nodes run on another one."""

    def break_next():
        from treadle.execution.worker.server import _Server

        def broken(*_arguments):
            raise MemoryError("no room for the job")

        _Server._run = broken
        return os.getpid()

    events = []
    with ParallelRunner(1, start_method) as runner:
        first = runner.run(Pipeline([node(break_next, None, "pid", name="breaks")]), Catalog())["pid"]
        second = Pipeline([node(os.getpid, None, "pid", name="asks")])
        assert runner.run(second, Catalog(), observers=(events.append,))["pid"] != first
    (lost,) = [event for event in events if isinstance(event, WorkerLost)]
    assert (lost.pid, lost.exitcode, lost.node) == (first, 1, None)
    assert "an error outside the node's own code (MemoryError: no room for the job) between two nodes" in caplog.text
