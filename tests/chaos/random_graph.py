"""Run a random graph: `python random_graph.py SEED METHOD RESULT`. The seed alone decides its values.

Each node says in the folder `workers` which process it runs in. The values, and what the nodes wrote, go to the file RESULT.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from treadle import Catalog, DaskRunner, NodePolicy, ParallelRunner, Pipeline, SequentialRunner, node

NODES = 40
KINDS = {"small": 4, "large": 3, "slow": 3, "chunks": 1, "program": 1, "pool": 1}


def number(value):
    """Return the number that a value stands for."""
    return int(value.flat[0]) if isinstance(value, np.ndarray) else value


def work(index, kind):
    """Return the function of a node: the sum of its index and its inputs, as a number or as a large array."""
    workers = Path("workers").resolve()  # a worker may have another working directory

    def run(*inputs):
        Path(workers, str(os.getpid())).touch()
        total = index + sum(number(value) for value in inputs)
        if kind == "large":
            return np.full(1 << 17, total)
        if kind == "slow":
            time.sleep(0.05)
        elif multiprocessing.current_process().daemon:
            pass  # a dask worker may have no processes of its own
        elif kind == "program" and multiprocessing.parent_process() is not None:  # in a worker, which ends it
            subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"], start_new_session=True)
        elif kind == "pool":
            with multiprocessing.get_context("fork").Pool(1) as pool:
                total = pool.apply(abs, (total,))
        return total

    return run


def build(seed):
    """Return the pipeline of a seed: nodes that take up to three earlier values."""
    choose = random.Random(seed)
    nodes = []
    for index in range(NODES):
        kind = choose.choices(list(KINDS), list(KINDS.values()))[0]
        inputs = choose.sample(range(index), min(index, choose.choice([0, 1, 1, 2, 3])))
        policy = NodePolicy(retries=100)
        nodes.append(
            node(work(index, kind), [f"v{each}" for each in inputs] or None, f"v{index}", name=f"n{index}", policy=policy)
        )
    return Pipeline(nodes)


def make_runner(method):
    """Return the runner for a start method, for `sequential`, or for `dask`."""
    if method == "sequential":
        return SequentialRunner()
    return DaskRunner(max_workers=2) if method == "dask" else ParallelRunner(3, start_method=method)


def main(seed, method, result):
    """Run the graph and write what came of it."""
    Path("workers").mkdir(exist_ok=True)
    with make_runner(method) as runner:
        values = runner.run(build(int(seed)), Catalog())
    Path(result).write_text(json.dumps({name: number(value) for name, value in sorted(values.items())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
