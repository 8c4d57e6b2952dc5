"""Random graphs whose nodes kill their workers: every value is what one node after another would have made."""

from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, SequentialRunner, node

START_METHODS = ("fork", "spawn", "forkserver", "loky")
NODES = 60


def number(value):
    return int(value.flat[0]) if isinstance(value, np.ndarray) else value


def work(index, kind, folder):
    """A node's function: the sum of its index and its inputs, as a number or a large array, or into a file."""

    def run(*inputs):
        total = index + sum(number(value) for value in inputs)
        dead = folder / f"dead_{index}"
        if kind == "deadly" and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "writer":
            with (folder / f"written_{index}").open("a") as file:
                file.write(f"{total} ")
            return None
        return np.full(1 << 17, total) if kind == "large" else total

    return run


def graph(seed, folder, *, deadly):
    """A pipeline of nodes that take up to three values of earlier ones."""
    choose = random.Random(seed)
    nodes, made = [], []
    for index in range(NODES):
        kind = choose.choices(["small", "large", "writer", "deadly"], [6, 2, 2, 1])[0]
        inputs = choose.sample(made, min(len(made), choose.choice([0, 1, 1, 2, 3])))
        policy = NodePolicy(retries=1) if kind == "deadly" else None
        function = work(index, "small" if kind == "deadly" and not deadly else kind, folder)
        outputs = None if kind == "writer" else f"v{index}"
        nodes.append(node(function, inputs or None, outputs, name=f"n{index}", policy=policy))
        made += [] if outputs is None else [outputs]
    return Pipeline(nodes)


def outcome(runner, pipeline, folder, seconds=None):
    """What a run returns, and what its nodes wrote."""
    known = dict.fromkeys((each.name for each in pipeline.nodes), seconds) if seconds is not None else {}
    result = {name: number(value) for name, value in runner.run(pipeline, Catalog(), durations=lambda: known).items()}
    return result, {path.name: path.read_text() for path in folder.glob("written_*")}


@pytest.mark.parametrize("seconds", [None, 1e-6], ids=["unknown", "expected to be tiny"])
def test_workers_that_die_change_nothing(parallel_runner, start_method, tmp_path, seconds):
    """The results are the same, and no node that has no value to lose is run again. Each start method has its own graphs."""
    seed = START_METHODS.index(start_method) + (0 if seconds is None else len(START_METHODS))
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    calm.mkdir()
    wild.mkdir()
    expected = outcome(SequentialRunner(), graph(seed, calm, deadly=False), calm)
    assert isinstance(parallel_runner, ParallelRunner)
    assert outcome(parallel_runner, graph(seed, wild, deadly=True), wild, seconds) == expected
    assert list(wild.glob("dead_*")), "no worker died"
