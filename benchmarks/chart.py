"""Draw the figures: one panel a workload, one bar an engine, from its quickest start method to its slowest."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from goals import TIMES_A_PEER

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Measurement
    from workloads import Workload

_TREADLE, _OTHER, _PLAIN, _GOAL = "#0072B2", "#C9CDD2", "#6B7177", "#D55E00"
_WIDE = 30
"""A panel whose longest bar is more than so many times its shortest has a logarithmic scale."""
_COLUMNS = 2


def draw(workloads: list[Workload], measurements: list[Measurement], heading: str, path: Path) -> None:
    """Draw the chart into a PNG."""
    from matplotlib.figure import Figure

    panels = []
    for workload in workloads:
        engines: dict[str, list[float]] = {}
        for row in measurements:
            if row.workload == workload.name and row.seconds and not row.problem:
                engines.setdefault(row.engine, []).append(row.median)
        if engines:
            panels.append((workload, engines))
    if not panels:
        return
    rows = [panels[index : index + _COLUMNS] for index in range(0, len(panels), _COLUMNS)]
    heights = [max(len(engines) for _, engines in row) + 2.4 for row in rows]
    figure = Figure(figsize=(13, 0.27 * sum(heights) + 0.8), layout="constrained")
    axes = figure.subplots(len(rows), _COLUMNS, squeeze=False, height_ratios=heights).flatten()
    for axis, (workload, engines) in zip(axes, panels, strict=False):
        _panel(axis, workload, engines)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    reading = "Time from pipeline to results; shorter is better. A black line spans an engine's start methods."
    figure.suptitle(f"{reading}\n{heading}", fontsize=10)
    figure.savefig(path, dpi=110)


def _panel(axis: Any, workload: Workload, engines: dict[str, list[float]]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    ordered = sorted(engines.items(), key=lambda item: -statistics.median(item[1]))
    least = min(min(medians) for medians in engines.values())
    most = max(max(medians) for medians in engines.values())
    wide = most > _WIDE * least
    left, right = (least / 3, most * (most / least * 3) ** 0.25) if wide else (0.0, most * 1.25)
    for place, (engine, medians) in enumerate(ordered):
        color = _TREADLE if engine.startswith("treadle") else _PLAIN if engine == "plain loop" else _OTHER
        middle, low, high = statistics.median(medians), min(medians), max(medians)
        axis.barh(place, middle - left, left=left, color=color, height=0.72)
        if high > low:
            axis.plot([low, high], [place, place], color="black", linewidth=1.2, solid_capstyle="butt")
        words = _words(low) if _words(low) == _words(high) else f"{_words(low)} – {_words(high)}"
        axis.annotate(words, (high, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5)
    peer, times = TIMES_A_PEER.get(workload.name, ("", 0.0))
    if peer in engines:
        goal = times * statistics.median(engines[peer])
        axis.axvline(goal, color=_GOAL, linestyle="--", linewidth=1, zorder=0.5)
        top = len(ordered) - 0.45
        axis.annotate(
            f"goal {_words(goal)}", (goal, top), (0, 2), textcoords="offset points", color=_GOAL, fontsize=7.5, ha="center"
        )
    axis.set_ylim(-0.6, len(ordered) - 0.4)
    if wide:
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _place: _words(seconds)))
    axis.set_xlim(left, right)
    axis.set_yticks(range(len(ordered)), [engine for engine, _ in ordered])
    axis.tick_params(labelsize=8)
    axis.set_title(workload.name, loc="left", fontsize=10, fontweight="bold", pad=14)
    axis.spines[["top", "right"]].set_visible(False)


def _words(seconds: float) -> str:
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs" if seconds else "0"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
