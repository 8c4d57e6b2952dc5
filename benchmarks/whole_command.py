"""What a person waits for who runs a small project from the shell: `treadle run` on 12 small pandas nodes, under each runner."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from figures import Figure, timed

PARALLEL_GOAL = 1.15
"""How many times as long as the sequential runner the parallel one may take, with the start method that it chooses."""
AUTO_GOAL = 1.05
"""How many times as long as the better of the two the auto runner may take."""
LEARNING = 3
"""Runs of the auto runner before it is measured."""

NODES = """
import pandas as pd

def clean(orders): return orders.dropna().query("quantity > 0")
def add_worth(orders): return orders.assign(worth=orders["quantity"] * orders["price"])
def by_product(orders): return orders.groupby("product", as_index=False)["worth"].sum()
def by_day(orders): return orders.groupby("day", as_index=False)["worth"].sum()
def by_hour(orders): return orders.groupby("hour", as_index=False)["worth"].sum()
def best(totals): return totals.nlargest(3, "worth")
def share(totals): return totals.assign(share=totals["worth"] / totals["worth"].sum())
def join(*tables): return pd.concat(tables, ignore_index=True)
"""

PIPELINE = """
from treadle import Pipeline, node
from {package} import steps

def create_pipeline():
    kinds = ["product", "day", "hour"]
    nodes = [node(steps.clean, "orders", "cleaned"), node(steps.add_worth, "cleaned", "worth")]
    nodes += [node(getattr(steps, f"by_{{kind}}"), "worth", f"by_{{kind}}") for kind in kinds]
    nodes += [node(steps.best, f"by_{{kind}}", f"best_{{kind}}") for kind in kinds]
    nodes += [node(steps.share, f"by_{{kind}}", f"share_{{kind}}") for kind in kinds]
    return Pipeline([*nodes, node(steps.join, [f"{{what}}_{{kind}}" for what in ("best", "share") for kind in kinds], "report")])
"""

CATALOG = """
orders: {type: pandas.CSVDataset, filepath: data/01_raw/orders.csv}
report: {type: pandas.CSVDataset, filepath: data/08_reporting/report.csv, save_args: {index: false}}
"""


def figures(methods: list[str], workers: int, repeats: int) -> list[Figure]:
    """Return the figures: medians of the ratios of interleaved runs, each in a new process."""
    if find_spec("pandas") is None:
        print("whole commands: not measured, because pandas is not installed", file=sys.stderr)
        return []
    parallel = ["--runner", "parallel", "--workers", str(workers)]
    flags = {
        "sequential": [],
        "parallel": parallel,
        "auto": ["--runner", "auto"],
        **{method: [*parallel, "--runner-params", f"start_method={method}"] for method in methods},
    }
    seconds: dict[str, list[float]] = {name: [] for name in flags}
    with tempfile.TemporaryDirectory() as folder:
        project = _make_project(Path(folder) / "small")
        for _ in range(LEARNING):
            _run(project, flags["auto"])
        for repeat in range(repeats + 1):
            for name, words in flags.items():
                took = _run(project, words)
                seconds[name] += [took] if repeat else []
    what = "treadle run, 12 small pandas nodes"
    shortest = [min(pair) for pair in zip(seconds["sequential"], seconds["parallel"], strict=True)]
    found = [
        _ratio(f"{what}: the parallel runner by the sequential", seconds["parallel"], seconds["sequential"], PARALLEL_GOAL),
        _ratio(f"{what}: the auto runner by the better of the two", seconds["auto"], shortest, AUTO_GOAL),
    ]
    of_methods = [_ratio(f"{what}: {method} by the sequential", seconds[method], seconds["sequential"]) for method in methods]
    return found + of_methods


def _ratio(what: str, ours: list[float], others: list[float], goal: float | None = None) -> Figure:
    ratio = statistics.median(a / b for a, b in zip(ours, others, strict=True))
    return Figure(what, ratio, "×", goal, f"{statistics.median(ours):.3f} s and {statistics.median(others):.3f} s")


def _run(project: Path, flags: list[str]) -> float:
    command = [sys.executable, "-m", "treadle", "run", *flags]
    # Treadle may lie here as sources: it is compiled once, as an installed package is.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return timed(lambda: subprocess.run(command, check=True, capture_output=True, cwd=project, env=environment))[0]


def _make_project(project: Path) -> Path:
    subprocess.run([sys.executable, "-m", "treadle", "new", str(project)], check=True, capture_output=True)
    package = next(project.glob("src/*"))
    for folder in (package / "pipelines").iterdir():
        if folder.is_dir() and folder.name != "reporting":
            shutil.rmtree(folder)
    (package / "steps.py").write_text(NODES, encoding="utf-8")
    (package / "pipelines/reporting/pipeline.py").write_text(PIPELINE.format(package=package.name), encoding="utf-8")
    (project / "conf/base/catalog.yml").write_text(CATALOG, encoding="utf-8")
    return project
