"""The runner `auto` in real runs: what it chooses, and that the choice is recorded with its reason."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import time
import weakref

import pytest

from treadle import AutoRunner, Catalog, ParallelRunner, Session, node, pipeline
from treadle.errors import RunnerError
from treadle.events import RunStarted
from treadle.observe.store import SQLStore
from treadle.planning.run_times import RunTimes


def _pid(*_values):
    return os.getpid()


SMALL = pipeline([node(_pid, None, f"p{each}", name=f"n{each}") for each in range(4)])
LONG = RunTimes("parallel", 2, 41.0, 0.5, {f"n{each}": 20.0 for each in range(4)})


def test_a_second_run_of_small_nodes_is_sequential():
    """The first run is parallel, since nothing is known; the second one runs in this process, and says why."""
    events = []
    runner = AutoRunner(2, "fork")
    first = dict(runner.run(SMALL, Catalog(), observers=[events.append]))
    second = dict(runner.run(SMALL, Catalog(), observers=[events.append]))
    assert os.getpid() not in first.values()
    assert set(second.values()) == {os.getpid()}
    started = [event for event in events if isinstance(event, RunStarted)]
    assert [(each.runner, each.start_method, each.workers) for each in started] == [
        ("parallel", "fork", 2),
        ("sequential", None, 1),
    ]
    assert started[0].reason == "4 of 4 nodes have not run yet"
    assert "expected" in started[1].reason


def test_earlier_runs_are_asked_for_until_its_own_are_enough():
    """`past_runs` is called until three of its own runs had the same nodes."""
    asked = []

    def past_runs():
        asked.append(1)
        return [RunTimes("sequential", 1, 0.01, 0.0, {f"n{each}": 0.001 for each in range(4)})]

    runner = AutoRunner(2, "fork")
    pids = {pid for _ in range(5) for pid in runner.run(SMALL, Catalog(), past_runs=past_runs).values()}
    assert (pids, len(asked)) == ({os.getpid()}, 3)


def test_a_choice_stands_while_runs_stay_fast():
    """It is made again for other nodes, and after a run that took longer than another runner is expected to take."""
    runner = AutoRunner(2, "fork")
    for _ in range(5):
        runner.run(SMALL, Catalog())
    chosen = runner.latest
    assert chosen.runner == "sequential"
    runner.run(SMALL, Catalog())
    assert runner.latest is chosen
    runner.run(pipeline([node(_pid, None, f"q{each}", name=f"m{each}") for each in range(4)]), Catalog())
    assert runner.latest.reason == "4 of 4 nodes have not run yet"
    for _ in range(2):
        runner.run(SMALL, Catalog())
    chosen = runner.latest
    assert chosen.runner == "sequential"
    runner._own_runs[:] = [run._replace(seconds=100.0) if run.runner == "sequential" else run for run in runner._own_runs]
    runner.run(SMALL, Catalog())
    assert runner.latest.runner == "parallel"


def test_a_choice_is_made_again_after_20_runs():
    """The first runs may have been on a busy machine: what the other runner took is remembered, and it is tried again."""
    runner = AutoRunner(2, "fork")
    busy = RunTimes("sequential", 1, 0.0101, 0.0, {f"n{each}": 0.0025 for each in range(4)})
    now = RunTimes("parallel", 2, 0.01, 0.004, {f"n{each}": 0.001 for each in range(4)})
    runner._own_runs[:] = [now] * 3 + [busy] * 3
    chosen = []
    for _ in range(22):
        runner.run(SMALL, Catalog())
        runner._own_runs[0] = now if runner.latest.runner == "parallel" else busy
        chosen.append(runner.latest.runner)
    assert chosen == ["parallel"] * 20 + ["sequential"] + ["parallel"]


def test_a_choice_does_not_stand_for_another_graph():
    """Nodes with the same names that depend on each other otherwise may be faster with another runner."""
    runner = AutoRunner(2, "fork")
    for _ in range(5):
        runner.run(SMALL, Catalog())
    chosen = runner.latest
    chain = [node(_pid, f"p{each - 1}" if each else None, f"p{each}", name=f"n{each}") for each in range(4)]
    runner.run(pipeline(chain), Catalog())
    assert runner.latest is not chosen


def test_a_kept_runner_keeps_its_workers():
    """Under `with`, the workers of a parallel run serve the next one; at the end they are gone."""
    with AutoRunner(2, "fork") as runner:
        first = set(runner.run(SMALL, Catalog(), past_runs=lambda: [LONG]).values())
        runner._own_runs.clear()
        second = set(runner.run(SMALL, Catalog(), past_runs=lambda: [LONG]).values())
    assert len(first | second) <= 2
    assert os.getpid() not in first | second
    for pid in first | second:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_closing_it_in_a_forked_child_frees_nothing_of_the_parent():
    """The child keeps the runners that it has inherited, as other runners keep executors: nothing of theirs is finalized."""

    def close(runner):
        inherited = [weakref.ref(each) for each in runner._runners.values()]
        runner.close()
        gc.collect()
        os._exit(0 if inherited and all(each() is not None for each in inherited) else 3)

    with AutoRunner(2, "fork") as runner:
        runner.run(SMALL, Catalog(), past_runs=lambda: [LONG])
        child = multiprocessing.get_context("fork").Process(target=close, args=(runner,))
        child.start()
        child.join(60)
    assert child.exitcode == 0


def test_a_runner_that_ran_before_keeps_its_workers_too():
    """What it opened before `with` has ended, so it is opened again, with all its workers."""
    runner = AutoRunner(2, "fork")
    runner.run(SMALL, Catalog(), past_runs=lambda: [LONG])
    runner._own_runs.clear()
    with runner:
        pids = set()
        for _ in range(3):
            pids |= set(runner.run(SMALL, Catalog(), past_runs=lambda: [LONG]).values())
            runner._own_runs.clear()
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_wrong_arguments_are_refused_at_once():
    """As by the parallel runner, before a run starts."""
    with pytest.raises(RunnerError, match="spawm"):
        AutoRunner(2, "spawm")
    with pytest.raises(RunnerError, match="max_workers"):
        AutoRunner(0)
    with pytest.raises(RunnerError, match="exchange_memory"):
        AutoRunner(exchange_memory="much")


def test_a_project_chooses_it_and_records_the_reason(make_loom, in_project):
    """`RUNNER = "auto"` in settings.py: the record says what ran the nodes and why, and the next run learns from it."""
    root = make_loom()
    settings = root / "src/loom/settings.py"
    settings.write_text(f'{settings.read_text()}\nRUNNER = "auto"\n')
    with in_project(root, TREADLE_START_METHOD="fork"):
        ids = []
        for _ in range(2):
            with Session.create(extra_params={"way": "auto"}) as session:
                session.run()
                ids.append(session.session_id)
        with contextlib.closing(SQLStore(project_path=root)) as store:
            first, second = (store.load(each).runs[0] for each in ids)
            times = store.run_times("loom")
    assert first.runner == "parallel"
    assert "nodes have not run yet" in first.params["runner_reason"]
    assert "expected" in second.params["runner_reason"]
    assert [each.runner for each in times] == [second.runner, "parallel"]
    assert times[1].nodes.keys() == {each.node for each in first.nodes}
    assert 0 <= times[1].start_up < times[1].seconds == first.finished - first.started


def test_the_start_of_a_run_includes_the_start_of_its_workers():
    """`RunStarted.at` is before the executor is made, so that runs of different runners can be compared."""
    made = []

    class Noting(ParallelRunner):
        def make_executor(self, plan):
            made.append(time.time())
            return super().make_executor(plan)

    events, before = [], time.time()
    Noting(2, "fork").run(SMALL, Catalog(), observers=[events.append])
    started = next(event for event in events if isinstance(event, RunStarted))
    assert before <= started.at <= made[0]


def test_threads_are_not_chosen_if_each_node_needs_its_own_span(monkeypatch):
    """Threads share the variable TRACEPARENT."""
    past = [RunTimes("thread", 2, 0.001, 0.0, dict(LONG.nodes)), LONG]
    chosen = []
    for traced in (False, True):
        if traced:
            monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        runner = AutoRunner(2, "fork")
        runner.run(SMALL, Catalog(), past_runs=lambda: past)
        chosen.append(runner.latest.runner)
    assert chosen == ["thread", "parallel"]
