"""Draw the figures: each engine's time as a ratio to a plain loop in one process, one panel a workload."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Measurement

_COLORS = {"treadle": "#0072B2", "futures loop": "#E69F00", "dask": "#CC79A7", "joblib": "#009E73", "plain loop": "#999999"}


def draw(measurements: list[Measurement], heading: str, path: Path) -> None:
    """Draw the chart into a PNG."""
    from matplotlib.figure import Figure

    groups = [(workload, list(rows)) for workload, rows in groupby(measurements, key=lambda each: each.workload)]
    figure = Figure(figsize=(11, 2.6 * ((len(groups) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(groups) + 1) // 2, 2, squeeze=False).flatten()
    for axis, (workload, rows) in zip(axes, groups, strict=False):
        ordered = sorted(rows, key=lambda each: each.median, reverse=True)
        labels = [each.engine if each.method == "-" else f"{each.engine}, {each.method}" for each in ordered]
        colors = [next((color for name, color in _COLORS.items() if each.engine.startswith(name)), "#999999") for each in ordered]
        axis.barh(labels, [each.median for each in ordered], color=colors)
        axis.set_xscale("log")
        axis.set_xlabel("seconds (log scale; less is better)")
        axis.set_title(workload, loc="left", fontsize=10, fontweight="bold")
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(groups) :]:
        axis.set_visible(False)
    figure.suptitle(f"Treadle and others: {heading}", fontsize=9)
    figure.savefig(path, dpi=110)
