"""The same Kedro project under Kedro's runners and Treadle's. Prints Markdown; `--json FILE` keeps every figure.

Run it where Kedro is installed: `python benchmarks/kedro_project.py --repeats 5`. Each figure is the median over new
processes, one run each, runners taking turns; results are compared with the SequentialRunner's. There are two tables:
seconds of `runner.run`, worker start included, without what Kedro takes to start and to read its configuration ("warm" is the
second run on the same workers); and seconds of the whole `kedro run` in a shell.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measure import machine

PROJECT = Path(__file__).parent / "kedro_speed"
TREADLE = "treadle.kedro.ParallelRunner"


@dataclass(frozen=True)
class Runner:
    """A runner as the command line is told it.

    Attributes:
        dotted: its class.
        arguments: what it is made with.
        times: runs on the same runner, of which the last counts.
        variables: of the environment, in a shell; 1.0 has no flag for a runner's arguments.
    """

    dotted: str
    arguments: dict[str, Any] = field(default_factory=dict)
    times: int = 1
    variables: dict[str, str] = field(default_factory=dict)


RUNNERS = {
    "Kedro Sequential": Runner("kedro.runner.SequentialRunner"),
    "Kedro Thread": Runner("kedro.runner.ThreadRunner", {"max_workers": 2}),
    "Kedro Parallel": Runner("kedro.runner.ParallelRunner", {"max_workers": 2}),
    "Treadle": Runner(TREADLE, {"max_workers": 2}),
    "Treadle forkserver": Runner(
        TREADLE, {"max_workers": 2, "start_method": "forkserver"}, variables={"TREADLE_START_METHOD": "forkserver"}
    ),
    "Treadle spawn": Runner(TREADLE, {"max_workers": 2, "start_method": "spawn"}, variables={"TREADLE_START_METHOD": "spawn"}),
    "Treadle warm": Runner(TREADLE, {"max_workers": 2}, times=2),
}
WORKLOADS = {
    "noop_10": "10 nodes that do nothing",
    "noop_50": "50 nodes that do nothing",
    "noop_100": "100 nodes that do nothing",
    "busy_8": "8 nodes that compute for 50 ms",
    "busy_16": "16 nodes that compute for 50 ms",
    "busy_40": "40 nodes that compute for 50 ms",
    "arrays": "4 chains of 5 nodes that pass on 64 MB arrays",
    "tables": "12 pandas nodes: 4 files of 300,000 rows read, cleaned, aggregated, joined, written",
}
IN_A_SHELL = ("noop_10", "noop_100", "busy_8", "busy_16", "tables")
NOT_IN_A_SHELL = ("Kedro Thread", "Treadle warm")


def make_project(root: Path) -> None:
    """Copy the project, and make its data."""
    import numpy as np
    import pandas as pd

    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("__pycache__"))
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


class Bench:
    """Runs one workload on one runner in a new process.

    Args:
        root: the project.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Treadle may lie here as sources: it is compiled once, as an installed package is.
        kept = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "TREADLE_START_METHOD")
        }
        quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
        self._environment = {**kept, **quiet, "PYTHONPYCACHEPREFIX": str(root.parent / "compiled")}
        self._expected: dict[str, dict[str, str]] = {}
        self.cannot_be_loaded: set[str] = set()

    def in_process(self, workload: str, name: str) -> float:
        """Return the seconds of `runner.run`; check the results."""
        runner = RUNNERS[name]
        (self._root / "data/joined.csv").unlink(missing_ok=True)
        done = self._run(sys.executable, "timed.py", workload, runner.dotted, json.dumps(runner.arguments), str(runner.times))
        told = json.loads(done.splitlines()[-1])
        expected = self._expected.setdefault(workload, told["results"])
        for key, value in told["results"].items():
            if value is None:
                self.cannot_be_loaded.add(name)
            elif value != expected[key]:
                raise SystemExit(f"{name} makes {key} = {value} of {workload}, Kedro Sequential {expected[key]}")
        if told["results"].keys() != expected.keys():
            raise SystemExit(f"{name} leaves {set(told['results'])} of {workload}, Kedro Sequential {set(expected)}")
        return float(told["seconds"])

    def in_a_shell(self, workload: str, name: str) -> float:
        """Return the seconds of `kedro run`."""
        runner = RUNNERS[name]
        began = time.perf_counter()
        flags = [f"--runner={runner.dotted}", f"--pipelines={workload}"]
        if "max_workers" in runner.arguments:
            flags.append("--runner-params=max_workers=2")
        self._run(sys.executable, "-m", "kedro", "run", *flags, **runner.variables)
        return time.perf_counter() - began

    def _run(self, *command: str, **variables: str) -> str:
        done = subprocess.run(
            command, cwd=self._root, env={**self._environment, **variables}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout


def table(title: str, names: list[str], workloads: list[str], repeats: int, take: Any) -> dict[str, dict[str, list[float]]]:
    """Measure every runner in turn, again and again; print a row a workload as soon as it is there."""
    print(f"\n| {title} | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    figures: dict[str, dict[str, list[float]]] = {}
    for workload in workloads:
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repeats):
            for name, times in seconds.items():
                times.append(take(workload, name))
        medians = [statistics.median(times) for times in seconds.values()]
        print(f"| {WORKLOADS[workload]} | " + " | ".join(f"{median:.3f}" for median in medians) + " |", flush=True)
        figures[workload] = seconds
    return figures


def say_overhead(title: str, figures: dict[str, dict[str, list[float]]]) -> None:
    """Print how much less a run of 100 nodes that do nothing costs beyond the sequential one."""
    if "noop_100" not in figures:
        return
    median = {name: statistics.median(times) for name, times in figures["noop_100"].items()}
    base = median["Kedro Sequential"]
    kedro = median["Kedro Parallel"] - base
    print(f"\n{title}, 100 nodes that do nothing: Kedro Parallel takes {kedro:.2f} s more than Kedro Sequential", end="")
    for name in [each for each in median if each.startswith("Treadle")]:
        more = median[name] - base
        print(f"; {name} {more:.3f} s, {kedro / more:.0f} times less" if more > 0 else f"; {name} none", end="")
    print(".")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--json", type=Path, help="where to keep every figure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "speed")
        make_project(Path(folder) / "speed")
        where = f"{machine()}, Kedro {version('kedro')}, Treadle {version('treadle')}"
        when = datetime.now(timezone.utc).date().isoformat()
        print(f"Measured on {when} on {where}; 2 workers, medians of {arguments.repeats} interleaved repeats, seconds.")
        for name in RUNNERS:
            bench.in_process("noop_10", name)  # compiles what is not compiled yet
        inside = table("`runner.run`", list(RUNNERS), arguments.workloads, arguments.repeats, bench.in_process)
        names = [name for name in RUNNERS if name not in NOT_IN_A_SHELL]
        chosen = [workload for workload in arguments.workloads if workload in IN_A_SHELL]
        shell = table("`kedro run` in a shell", names, chosen, arguments.repeats, bench.in_a_shell)
    say_overhead("`runner.run`", inside)
    say_overhead("`kedro run` in a shell", shell)
    lost = ", ".join(sorted(bench.cannot_be_loaded))
    print(
        "\nEvery runner gave the SequentialRunner's results" + (f", but what {lost} returned cannot be loaded." if lost else ".")
    )
    if arguments.json is not None:
        record = {"date": when, "machine": where, "repeats": arguments.repeats, "runner.run": inside, "kedro run": shell}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
