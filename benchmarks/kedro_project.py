"""The same Kedro project under Kedro's runners and Treadle's: seconds of `runner.run`, and ratios. Prints Markdown.

Run it where Kedro is installed: `python benchmarks/kedro_project.py --repeats 3`. Each figure is the median over new
processes, one run each, runners taking turns; the time is that of `runner.run`, worker start included, without the time
that Kedro takes to import and to read its configuration. "Warm" is the second run on the same workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNNERS = {
    "Kedro Sequential": "SequentialRunner()",
    "Kedro Thread": "ThreadRunner(max_workers=2)",
    "Kedro Parallel": "ParallelRunner(max_workers=2)",
    "Treadle, fork": "treadle.kedro.ParallelRunner(max_workers=2, start_method='fork')",
    "Treadle, forkserver": "treadle.kedro.ParallelRunner(max_workers=2, start_method='forkserver')",
    "Treadle, spawn": "treadle.kedro.ParallelRunner(max_workers=2, start_method='spawn')",
    "Treadle, warm": "treadle.kedro.ParallelRunner(max_workers=2)",
}
WORKLOADS = {
    "noop_10": "10 nodes that do nothing",
    "noop_50": "50 nodes that do nothing",
    "noop_100": "100 nodes that do nothing",
    "busy": "40 nodes that compute for 50 ms",
    "arrays": "4 chains of 5 nodes that hand on 64 MB arrays",
    "tables": "12 nodes of pandas: 4 CSV files of 300,000 rows read, cleaned, aggregated, joined, written",
}

NODES = """
import time

import numpy as np
import pandas as pd


def nothing(value):
    return value


def busy(value):
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        value = (value * 31 + 7) % 1000003
    return value


def make_array(value):
    return np.full(8_000_000, float(value))


def step(array):
    return array + 1.0


def total(array):
    return float(array.sum())


def clean(table):
    table = table[table["amount"] > 10].copy()
    table["day"] = pd.to_datetime(table["day"])
    table["word"] = table["word"].str.upper()
    return table


def aggregate(table):
    return table.groupby(["key", "word"], as_index=False).agg(amount=("amount", "sum"), days=("day", "nunique"))


def join(*tables):
    joined = tables[0]
    for number, table in enumerate(tables[1:]):
        joined = joined.merge(table, on=["key", "word"], how="outer", suffixes=("", f"_{number}"))
    return joined
"""

REGISTRY = """
from kedro.pipeline import node, pipeline

from speed import nodes


def noop(count):
    return pipeline([node(nodes.nothing, "params:value", f"out_{n}", name=f"n{n}") for n in range(count)])


def arrays():
    made = []
    for chain in range(4):
        made.append(node(nodes.make_array, "params:value", f"a{chain}_0", name=f"make{chain}"))
        made += [node(nodes.step, f"a{chain}_{n}", f"a{chain}_{n + 1}", name=f"step{chain}_{n}") for n in range(3)]
        made.append(node(nodes.total, f"a{chain}_3", f"total{chain}", name=f"total{chain}"))
    return pipeline(made)


def tables():
    made = []
    for number in range(4):
        made.append(node(nodes.clean, f"raw_{number}", f"clean_{number}", name=f"clean{number}"))
        made.append(node(nodes.aggregate, f"clean_{number}", f"sums_{number}", name=f"sums{number}"))
    made.append(node(nodes.join, ["sums_0", "sums_1"], "left", name="left"))
    made.append(node(nodes.join, ["sums_2", "sums_3"], "right", name="right"))
    made.append(node(nodes.join, ["left", "right"], "joined", name="join"))
    made.append(node(len, "joined", "rows", name="rows"))
    return pipeline(made)


def register_pipelines():
    return {
        "__default__": noop(1),
        **{f"noop_{count}": noop(count) for count in (10, 50, 100)},
        "busy": pipeline([node(nodes.busy, "params:value", f"out_{n}", name=f"n{n}") for n in range(40)]),
        "arrays": arrays(),
        "tables": tables(),
    }
"""

CATALOG = """
"raw_{number}": {type: pandas.CSVDataset, filepath: "data/raw_{number}.csv"}
"clean_{number}": {type: pickle.PickleDataset, filepath: "data/clean_{number}.pkl"}
joined: {type: pandas.CSVDataset, filepath: data/joined.csv}
"""

PROJECT = """
[tool.kedro]
package_name = "speed"
project_name = "Speed"
kedro_init_version = "1.0.0"
source_dir = "src"
"""

TIMED = """
import json, logging, sys, time
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner

if __name__ == "__main__":
    bootstrap_project(Path.cwd())
    logging.disable()
    import treadle.kedro

    runner = {runner}
    warm = {warm}
    seconds = []
    run = runner.run

    def timed(*arguments, **options):
        began = time.perf_counter()
        result = run(*arguments, **options)
        seconds.append(time.perf_counter() - began)
        return result

    runner.run = timed
    if warm:
        runner.__enter__()
    for _ in range(2 if warm else 1):
        with KedroSession.create(save_on_close=False) as session:
            session.run(pipeline_names=[{pipeline!r}], runner=runner)
    if warm:
        runner.__exit__(None, None, None)
    print(json.dumps(seconds[-1]))
"""


def make_project(root: Path) -> None:
    """Write the project and its data."""
    import numpy as np
    import pandas as pd

    files = {
        "pyproject.toml": PROJECT,
        "conf/base/catalog.yml": CATALOG,
        "conf/base/parameters.yml": "value: 1\n",
        "conf/local/credentials.yml": "",
        "src/speed/__init__.py": "",
        "src/speed/nodes.py": NODES,
        "src/speed/pipeline_registry.py": REGISTRY,
        "src/speed/settings.py": "",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    random = np.random.default_rng(1)
    days = pd.date_range("2024-01-01", periods=365).strftime("%Y-%m-%d").to_numpy()
    words = np.array(["north", "south", "east", "west"])
    (root / "data").mkdir()
    for number in range(4):
        count = 300_000
        table = pd.DataFrame(
            {
                "key": random.integers(0, 1000, count),
                "word": random.choice(words, count),
                "day": random.choice(days, count),
                "amount": random.uniform(0, 100, count),
            }
        )
        table.to_csv(root / f"data/raw_{number}.csv", index=False)


def time_run(root: Path, runner: str, workload: str) -> float:
    """Run one workload in a new process; return the seconds of `runner.run`."""
    script = TIMED.format(runner=RUNNERS[runner], warm=runner.endswith("warm"), pipeline=workload)
    (root / "timed.py").write_text(script, encoding="utf-8")
    quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "timed.py"], cwd=root, env={**os.environ, **quiet}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_project(root)
        before = os.getloadavg()[0]
        print(f"| seconds (load at the start: {before:.1f}) | " + " | ".join(RUNNERS) + " |")
        print("|---|" + "---:|" * len(RUNNERS))
        for workload in arguments.workloads:
            seconds: dict[str, list[float]] = {name: [] for name in RUNNERS}
            for _ in range(arguments.repeats):
                for name, times in seconds.items():
                    times.append(time_run(root, name, workload))
            medians = {name: statistics.median(times) for name, times in seconds.items()}
            print(f"| {WORKLOADS[workload]} | " + " | ".join(f"{medians[name]:.3f}" for name in RUNNERS) + " |", flush=True)


if __name__ == "__main__":
    main()
