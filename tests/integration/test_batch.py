"""Many sessions, one warm runner: each with its own params, and nothing grows; what changes on disk replaces the workers."""

from __future__ import annotations

import gc
import os

import numpy as np
import psutil
import pytest

from treadle import Catalog, Pipeline, Session, bootstrap_project, node
from treadle.events import WorkerStarted

SESSIONS = 50
WARM_UP = 10
GROWTH = 24 << 20
"""Bytes; a value of each session is 1.6 MB, so that one that is never given back shows."""


class _Pids:
    """An observer: the process ids of a run's workers."""

    def __init__(self):
        self.pids = set()

    def __call__(self, event):
        if isinstance(event, WorkerStarted) and event.worker != "main":
            self.pids.add(event.pid)


def _run(runner, pipeline, **params):
    seen = _Pids()
    with Session.create(extra_params=params) as session:
        values = dict(session.run(pipeline, runner=runner, observers=(seen,)))
    return values, seen.pids


def _meet(runner, pipe):
    """Have both workers do something; return their process ids. What they were told before is done then."""

    def come(mode):
        with pipe.open(mode):  # waits for the other
            return os.getpid(), float(np.ones(3).sum())

    nodes = [node(lambda mode=mode: come(mode), None, mode, name=mode) for mode in "rw"]
    return {pid for pid, _sum in dict(runner.run(Pipeline(nodes), Catalog())).values()}


def _open_files(runner, processes):
    """Count descriptors; the memory files that wait in the main process for other values are as many as there was use for."""
    gc.collect()
    return [
        process.num_fds() - (len(runner._executor.store._segments._idle) if not n else 0) for n, process in enumerate(processes)
    ]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_fifty_sessions(make_loom, in_project, runner_for, start_method, tmp_path):
    """Fifty sessions see their own params on the same workers; descriptors and memory stay what they were."""
    os.mkfifo(tmp_path / "pipe")
    with in_project(make_loom()), runner_for(start_method) as runner:
        _run(runner, "batch", day=0)
        workers = _meet(runner, tmp_path / "pipe")
        assert len(workers) == 2
        everyone = set()
        for day in range(SESSIONS):
            values, pids = _run(runner, "batch", day=day)
            assert values == {"joined": {"day": day, "value": day * 200_000.0}}
            everyone |= pids
            if day == WARM_UP:
                assert _meet(runner, tmp_path / "pipe") == workers
                processes = [psutil.Process(), *map(psutil.Process, sorted(workers))]
                descriptors = _open_files(runner, processes)
                memory = [process.memory_info().rss for process in processes]
        assert everyone == workers
        assert _meet(runner, tmp_path / "pipe") == workers
        assert _open_files(runner, processes) == descriptors
        after = [process.memory_info().rss for process in processes]
        assert all(now - then < GROWTH for then, now in zip(memory, after, strict=True))


def _change_code(root):
    nodes = root / "src" / "loom" / "nodes.py"
    nodes.write_text(nodes.read_text().replace('return {"pid"', 'return {"code": "new", "pid"'))


def _change_settings(root):
    settings = root / "src" / "loom" / "settings.py"
    settings.write_text(settings.read_text().replace("HOOKS = (Tally(),)", 'HOOKS = (Tally("new "),)'))


def _change_environment(_root):
    os.environ["LOOM_MOOD"] = "new"


@pytest.mark.parametrize("change", [_change_code, _change_settings, _change_environment])
def test_change_replaces_workers(make_loom, in_project, runner_for, start_method, change):
    """Changed code, settings or environment: the next session has new workers, and sees what is new."""
    root = make_loom()
    with in_project(root, LOOM_MOOD="old"), runner_for(start_method, 1) as runner:
        first, before = _run(runner, "who", who="LOOM_MOOD")
        again, same = _run(runner, "who", who="LOOM_MOOD")
        assert same == before
        assert first["first"]["pid"] in before
        assert again["first"].get("code") is None
        (root / "tally.txt").unlink()
        change(root)
        bootstrap_project(root)
        values, after = _run(runner, "who", who="LOOM_MOOD")
        assert not before & after
        hooks = [line.split("\t")[:2] for line in (root / "tally.txt").read_text().splitlines()]
    assert values["first"]["env"] == ("new" if change is _change_environment else "old")
    assert values["first"].get("code") == ("new" if change is _change_code else None)
    assert (["before_node_run", "new who"] in hooks) == (change is _change_settings)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in before)


def test_changed_code_without_another_bootstrap(make_loom, in_project, runner_for):
    """Code that changed under a process that did not ask for it anew: its workers are replaced, and import what is there."""
    root = make_loom()
    with in_project(root), runner_for("spawn", 1) as runner:
        _first, before = _run(runner, "who", who="LOOM_MOOD")
        _change_code(root)
        values, after = _run(runner, "who", who="LOOM_MOOD")
    assert not before & after
    assert values["first"]["code"] == "new"
