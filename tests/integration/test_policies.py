"""Policies of nodes, each way to run: further attempts, limits of time and of what is scarce, the main process, going on."""

from __future__ import annotations

import os
import threading

import pytest

from treadle import Catalog, Dataset, NodePolicy, NodeTimeoutError, Pipeline, RunnerError, WorkerLostError, node
from treadle.errors import NodeError
from treadle.events import (
    DatasetReleased,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    WorkerLost,
    WorkerStarted,
)
from treadle.hooks import create_hook_manager, register_hooks
from treadle.io.datasets.text import TextDataset
from treadle.planning.policies import read_policies


@pytest.fixture(scope="module", params=("sequential", "thread", "fork", "spawn", "forkserver", "loky", "dask"))
def way(request):
    """Each way to run, dask on a cluster of this machine among them."""
    if request.param == "dask":
        pytest.importorskip("distributed")
    return request.param


@pytest.fixture(scope="module")
def rules(accidents):
    """The project's module of nodes for policies, importable here and in workers."""
    from loom import rules as module

    assert accidents
    return module


@pytest.fixture
def hooks(rules, tmp_path):
    """Hooks that count themselves."""
    manager = create_hook_manager()
    register_hooks(manager, [rules.Counting(tmp_path)])
    return manager


@pytest.fixture
def marks(tmp_path):
    """`marks(name)`: how many marks of a name there are."""

    def count(name):
        path = tmp_path / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    return count


class Run:
    """A run and what was seen of it."""

    def __init__(self, runner, nodes, data, **options):
        self.events, self.result, self.error = [], None, None
        try:
            self.result = dict(runner.run(Pipeline(nodes), Catalog(data), observers=(self.events.append,), **options))
        except NodeError as error:
            self.error = error

    def of(self, kind, *facts):
        return [tuple(getattr(event, fact) for fact in facts) for event in self.events if isinstance(event, kind)]


def test_each_attempt_sees_fresh_inputs(any_runner, rules, hooks, marks, tmp_path):
    """A node that spoils its inputs and fails is tried again on what they were; hooks and events tell of each attempt."""
    nodes = [
        node(rules.make, "folder", ["array", "numbers"], name="make"),
        node(
            rules.spoil_until_third,
            ["folder", "array", "numbers"],
            "seen",
            name="spoil",
            policy=NodePolicy(retries=3, retry_delay="20ms"),
        ),
        node(rules.total, ["array", "seen"], "total", name="total"),
    ]
    run = Run(any_runner, nodes, {"folder": str(tmp_path)}, hooks=hooks)
    assert run.error is None
    assert run.result == {"total": 300_000.0}
    assert run.of(NodeStarted, "node", "attempt")[:4] == [("make", 1), ("spoil", 1), ("spoil", 2), ("spoil", 3)]
    assert run.of(NodeFailed, "node", "attempt", "final") == [("spoil", 1, False), ("spoil", 2, False)]
    assert run.of(NodeFinished, "node", "attempt") == [("make", 1), ("spoil", 3), ("total", 1)]
    assert (marks("before spoil"), marks("error spoil ValueError"), marks("after spoil")) == (3, 2, 1)
    assert marks("make") == 1
    released = [name for (name,) in run.of(DatasetReleased, "dataset")]
    assert sorted(released) == ["array", "folder", "numbers", "seen"]


def test_a_node_fails_for_good_after_its_last_attempt(any_runner, rules, marks, tmp_path):
    """A node with two retries has three attempts; the error is that of the last, and the run stops."""
    nodes = [
        node(rules.fail, "folder", "never", name="fail", policy=NodePolicy(retries=2)),
        node(rules.say, "never", "after", name="after"),
    ]
    run = Run(any_runner, nodes, {"folder": str(tmp_path)})
    assert (run.error.node, run.error.attempt, marks("fail")) == ("fail", 3, 3)
    assert isinstance(run.error.__cause__, ValueError)
    assert "attempt 3" in str(run.error)
    assert run.of(NodeFailed, "attempt", "final") == [(1, False), (2, False), (3, True)]
    assert run.of(NodeSkipped, "node") == [("after",)]


def test_a_lost_worker_is_an_attempt(parallel_runner, rules, hooks, marks, tmp_path):
    """A node that killed its worker is tried again in another, on its inputs as they were; without retries the run fails."""
    nodes = [
        node(rules.make, "folder", ["array", "numbers"], name="make"),
        node(rules.die_once, ["folder", "array"], "seen", name="die", policy=NodePolicy(retries=1)),
        node(rules.total, ["array", "seen"], "total", name="total"),
    ]
    run = Run(parallel_runner, nodes, {"folder": str(tmp_path)}, hooks=hooks)
    assert run.error is None
    assert run.result["total"] == 300_000.0
    assert run.of(WorkerLost, "node", "exitcode") == [("die", -9)]
    assert run.of(NodeFailed, "node", "attempt", "final") == [("die", 1, False)]
    assert ("die", 2) in run.of(NodeFinished, "node", "attempt")
    assert (marks("error die WorkerLostError"), marks("after die")) == (1, 1)
    (tmp_path / "die").unlink()
    nodes[1] = node(rules.die_once, ["folder", "array"], "seen", name="die")
    assert isinstance(Run(parallel_runner, nodes, {"folder": str(tmp_path)}).error, WorkerLostError)


def test_a_worker_is_ended_at_the_limit(parallel_runner, rules, hooks, marks, tmp_path):
    """A node that would wait for ever is ended, and its worker with it; the verdict names the limit, the others go on."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = {"folder": str(tmp_path), "pipe": str(pipe)}

    def nodes(**policy):
        return [
            node(rules.hang_once, ["folder", "pipe"], "end", name="hang", policy=NodePolicy(timeout="1500ms", **policy)),
            *(node(rules.where, "folder", f"pid{number}", name=f"n{number}") for number in range(8)),
        ]

    run = Run(parallel_runner, nodes(retries=20), data, hooks=hooks)
    assert run.error is None
    assert run.result["end"] == "at last"
    late = run.of(NodeFailed, "node", "attempt", "final")  # on a busy machine, an attempt that does not hang may be late, too
    assert late == [("hang", attempt, False) for attempt in range(1, max(2, len(late) + 1))]
    assert run.of(WorkerLost) == []
    assert len(run.of(WorkerStarted)) >= 2
    assert (marks("error hang NodeTimeoutError"), marks("after hang")) == (len(late), 1)
    assert sum(marks(f"after n{number}") for number in range(8)) == 8
    (tmp_path / "hang").unlink()
    run = Run(parallel_runner, nodes(on_failure="continue"), data)
    assert isinstance(run.error, NodeTimeoutError)
    assert (run.error.node, run.error.timeout, run.error.attempt) == ("hang", 1.5, 1)
    assert run.error.elapsed >= 1.5
    assert "'hang' took longer than its timeout of 1.5 s" in str(run.error)
    assert len(run.of(NodeFinished)) == 8
    assert run.error.resume_from == ("hang",)


def test_what_is_late_is_not_saved(any_runner, rules, hooks, marks, tmp_path):
    """A node that came back too late fails, and its output is not there, whoever could end it or not."""
    kept = TextDataset(tmp_path / "kept.txt")
    nodes = [
        node(rules.dawdle, "seconds", "kept", name="dawdle", policy=NodePolicy(timeout=0.1, run_in="main")),
        node(rules.number_of, "kept", "size", name="size"),
    ]
    run = Run(any_runner, nodes, {"seconds": 0.2, "kept": kept}, hooks=hooks)
    assert isinstance(run.error, NodeTimeoutError)
    assert (run.error.node, run.error.timeout) == ("dawdle", 0.1)
    assert not (tmp_path / "kept.txt").exists()
    assert (marks("error dawdle NodeTimeoutError"), marks("after dawdle")) == (1, 0)
    assert run.of(NodeSkipped, "node") == [("size",)]


def test_the_main_process(any_runner, rules, tmp_path):
    """`run_in: main` runs a node in this process, from code or configuration, among others that need not (failure 19)."""
    nodes = [
        node(rules.where, "folder", "a", name="a", policy=NodePolicy(run_in="main")),
        node(rules.where, "folder", "b", name="b"),
        node(rules.where, "folder", "c", name="c", tags="here"),
        node(rules.where, "folder", "d", name="d", policy=NodePolicy(run_in="main")),
    ]
    policies = read_policies({"tags": {"here": {"run_in": "main"}}, "nodes": {"d": {"run_in": "worker"}}})
    run = Run(any_runner, nodes, {"folder": str(tmp_path)}, policies=policies)
    here = {name for name, pid in run.result.items() if pid == os.getpid()}
    assert here == ({"a", "c"} if any_runner.has_processes else {"a", "b", "c", "d"})


def test_a_function_that_cannot_be_pickled(any_runner, rules, tmp_path, caplog):
    """Its nodes run in this process, among others that run in workers. One warning says why, unless it is their policy."""
    lock = threading.Lock()

    def in_lock(*_made):
        with lock:
            return os.getpid()

    for policy, warned in ((None, ["b", "d"]), (NodePolicy(run_in="main"), [])):
        nodes = [
            node(rules.where, "folder", "a", name="a"),
            node(in_lock, "a", "b", name="b", policy=policy),
            node(lambda b: (b, os.getpid()), "b", "c", name="c"),
            node(in_lock, None, "d", name="d", policy=policy),
        ]
        caplog.clear()
        run = Run(any_runner, nodes, {"folder": str(tmp_path)})
        given, made = run.result["c"]
        assert given == os.getpid() == run.result["d"]
        assert (made != os.getpid()) == any_runner.has_processes
        texts = [record.getMessage() for record in caplog.records if "cannot be pickled" in record.getMessage()]
        assert len(texts) == (1 if warned and any_runner.has_processes else 0)
        for text in texts:
            assert all(f"{name} (cannot pickle '_thread.lock' object)" in text for name in warned)


class LockedDataset(Dataset):
    """A dataset that cannot be pickled; its value is the process that loads it."""

    def __init__(self):
        self._lock = threading.Lock()

    def load(self):
        with self._lock:
            return os.getpid()

    def save(self, data):
        """There is nothing to save."""


def test_a_dataset_that_cannot_be_pickled(any_runner, rules, tmp_path, caplog):
    """Its nodes run in this process, whether they load or save it. One warning says why, unless it is their policy."""
    for policy, warned in ((None, ["b", "d"]), (NodePolicy(run_in="main"), [])):
        nodes = [
            node(rules.where, "folder", "a", name="a"),
            node(lambda locked, *_a: (locked, os.getpid()), ["locked", "a"], "b", name="b", policy=policy),
            node(lambda: 1, None, "locked too", name="d", policy=policy),
        ]
        caplog.clear()
        catalog = {"folder": str(tmp_path), "locked": LockedDataset(), "locked too": LockedDataset()}
        run = Run(any_runner, nodes, catalog)
        assert run.result["b"] == (os.getpid(), os.getpid())
        texts = [record.getMessage() for record in caplog.records if "cannot be pickled" in record.getMessage()]
        assert len(texts) == (1 if warned and any_runner.has_processes else 0)
        for text in texts:
            assert "b ('locked': cannot pickle '_thread.lock' object), d ('locked too': cannot pickle" in text


def test_what_is_scarce_is_used_by_one_at_a_time(any_runner, rules, marks, tmp_path):
    """Nodes that need the one GPU never run at the same time, whatever else does (failure 19)."""
    nodes = [
        node(rules.use_alone, "folder", f"u{number}", name=f"u{number}", policy=NodePolicy(resources={"gpu": 1}))
        for number in range(6)
    ]
    nodes += [node(rules.where, "folder", f"n{number}", name=f"n{number}") for number in range(6)]
    run = Run(any_runner, nodes, {"folder": str(tmp_path)}, policies=read_policies({"resources": {"gpu": 1}}))
    assert run.error is None
    assert marks("alone") == 6


def test_what_is_left_is_used(way, any_runner, rules, tmp_path):
    """Two nodes that each need half of what there is run at the same time."""
    if way == "sequential":
        assert any_runner.max_workers == 1
        return
    for name in "ab":
        os.mkfifo(tmp_path / name)
    policy = NodePolicy(resources={"gpu": 1, "memory": "1MB"})
    nodes = [
        node(rules.meet, ["folder", "a", "b"], "x", name="x", policy=policy),
        node(rules.meet, ["folder", "b", "a"], "y", name="y", policy=policy),
    ]
    data = {"folder": str(tmp_path), "a": "a", "b": "b"}
    run = Run(any_runner, nodes, data, policies=read_policies({"resources": {"gpu": 2, "memory": "2MB"}}))
    assert run.result == {"x": "here", "y": "here"}


def test_needs_that_cannot_be_met(any_runner, rules, marks, tmp_path):
    """A node that needs more than there is, or what nobody limits, is refused before anything runs."""
    data = Catalog({"folder": str(tmp_path)})

    def pipeline(**resources):
        nodes = [node(rules.use_alone, "folder", "a", name="greedy", policy=NodePolicy(resources=resources))]
        return Pipeline([node(rules.fail, "folder", "b", name="first"), *nodes])

    with pytest.raises(RunnerError, match=r"'greedy' requests gpu: 1, but no limit of that resource is set"):
        any_runner.run(pipeline(gpu=1), data)
    with pytest.raises(RunnerError, match=r"'greedy' requests gpu: 3, but the limit is 2"):
        any_runner.run(pipeline(gpu=3), data, policies=read_policies({"resources": {"gpu": 2}}))
    with pytest.raises(RunnerError, match=r"'greedy' requests memory: 10\^?.*but the limit is"):
        any_runner.run(pipeline(memory="10000TB"), data)
    assert marks("fail") == 0


def test_the_rest_goes_on(any_runner, rules, hooks, marks, tmp_path):
    """Under `continue` only what follows a failure is skipped; the error names all that failed, and resumes them (failure 19)."""
    kept = TextDataset(tmp_path / "kept.txt")
    nodes = [
        node(rules.fail_with, "word", "a", name="a"),
        node(rules.say, "a", "after_a", name="after_a"),
        node(rules.fail_with, "word", "b", name="b"),
        node(rules.say, "word", "said", name="say"),
        node(rules.say, "said", "kept", name="keep"),
        node(rules.number_of, "kept", "size", name="size"),
    ]
    run = Run(any_runner, nodes, {"word": "linen", "kept": kept}, hooks=hooks, on_failure="continue")
    assert (tmp_path / "kept.txt").read_text() == "linen"
    assert sorted(name for (name,) in run.of(NodeFinished, "node")) == ["keep", "say", "size"]
    assert run.of(NodeSkipped, "node") == [("after_a",)]
    assert sorted(error.node for error in run.error.failures) == ["a", "b"]
    assert all(isinstance(error.__cause__, LookupError) and error.failure.traceback for error in run.error.failures)
    first, second = run.error.failures
    assert f"Another node failed too: '{second.node}'." in run.error.args[0]
    assert str(run.error).count("LookupError: linen") >= 3
    assert set(run.error.resume_from) == {"a", "b"}
    assert (marks("error a LookupError"), marks("error b LookupError")) == (1, 1)
    assert [set(failed) for (failed,) in run.of(RunFinished, "failed")] == [{first.node, second.node}]


def test_a_node_says_itself_what_its_failure_means(way, any_runner, rules):
    """A node's own policy goes before the run's default, in both directions."""
    nodes = [
        node(rules.fail_with, "word", "a", name="a", policy=NodePolicy(on_failure="continue")),
        node(rules.say, "word", "b", name="b"),
        node(rules.say, "b", "c", name="c"),
    ]
    assert len(Run(any_runner, nodes, {"word": "linen"}).of(NodeFinished)) == 2
    nodes = [
        node(rules.fail_with, "word", "a", name="a", policy=NodePolicy(on_failure="stop")),
        node(rules.say, "a", "d", name="d"),
        node(rules.say, "d", "e", name="e"),
        *(node(rules.say, "word", f"b{number}", name=f"b{number}") for number in range(3)),
    ]
    run = Run(any_runner, nodes, {"word": "linen"}, on_failure="continue")
    assert run.of(RunFinished, "failed") == [(("a",),)]
    if way == "sequential":  # it is the most urgent, so nothing else had begun
        assert [name for (name,) in run.of(NodeSkipped, "node")] == ["d", "e", "b0", "b1", "b2"]
