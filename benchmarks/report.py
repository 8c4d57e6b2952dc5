"""Figures as Markdown: the goals, a summary of ratios, what stands alone, and a table a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goals import DASK, PLAIN, TREADLE, needed_bytes, verdicts

if TYPE_CHECKING:
    from figures import Figure
    from measure import Measurement
    from workloads import Workload

WIDE = 0.1
"""The range of peaks is shown if it is wider than this share of their median."""


def markdown(
    heading: str, workloads: list[Workload], measurements: list[Measurement], alone: list[Figure], notes: list[str]
) -> str:
    """Return the whole report.

    Args:
        heading: when, where and how it was measured.
        workloads: the workloads, in order.
        measurements: what each engine took for each.
        alone: figures that stand alone.
        notes: what was left out, and why.
    """
    parts = [f"Measured {heading}.", *(f"- {note}" for note in notes)]
    parts += ["", *_goals(workloads, measurements, alone), *_summary(workloads, measurements)]
    parts += [*_on_dask(workloads, measurements), *_alone(alone)]
    for workload in workloads:
        parts += _workload(workload, [row for row in measurements if row.workload == workload.name])
    return "\n".join(parts)


def _goals(workloads: list[Workload], measurements: list[Measurement], alone: list[Figure]) -> list[str]:
    found = verdicts(workloads, measurements)
    if not found and all(figure.goal is None for figure in alone):
        return []
    methods = list(dict.fromkeys(method for verdict in found for method in verdict.measured)) or ["figure"]
    lines = ["## Goals", "", f"| work | | goal | {' | '.join(methods)} | met |", f"|---|---|---:|{'---:|' * len(methods)}---|"]
    for verdict in found:
        cells = [_amount(verdict.measured[method], verdict.unit) if method in verdict.measured else "" for method in methods]
        goal = f"≤ {_amount(verdict.goal, verdict.unit)}"
        lines.append(f"| {verdict.workload} | {verdict.what} | {goal} | {' | '.join(cells)} | {_yes(verdict.met)} |")
    empty = " |" * max(0, len(methods) - 1)
    for figure in alone:
        if figure.goal is not None:
            goal, value = f"≤ {_amount(figure.goal, figure.unit)}", _amount(figure.value, figure.unit)
            lines.append(f"| {figure.what} | {figure.detail} | {goal} | {value} |{empty} {_yes(figure.value <= figure.goal)} |")
    return [*lines, ""]


def _summary(workloads: list[Workload], measurements: list[Measurement]) -> list[str]:
    lines = [
        "## Treadle and the others",
        "",
        "Treadle's parallel runner beside a plain loop in one process and the fastest other engine with workers. The ratios are",
        "those of the slowest start method. A goal compares each start method with another engine under the same one, or under",
        "the only one that it has.",
        "",
        "| work | plain loop | fastest other | Treadle | ÷ plain loop | ÷ fastest other | goal |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for workload in workloads:
        rows = [row for row in measurements if row.workload == workload.name and row.seconds and not row.problem]
        ours = [row.median for row in rows if row.engine == TREADLE]
        others = [row for row in rows if row.is_other]
        if not ours or not others:
            continue
        best, plain = (
            min(others, key=lambda row: row.median),
            next((row.median for row in rows if row.engine == PLAIN), None),
        )
        took = " to ".join(dict.fromkeys((_seconds(min(ours)), _seconds(max(ours)))))
        by_plain = f"{max(ours) / plain:.2f}" if plain else ""
        by_best = f"{max(ours) / best.median:.2f}"
        cells = [workload.name, _seconds(plain), f"{best.label}, {_seconds(best.median)}", took, by_plain, by_best]
        lines.append(f"| {' | '.join(cells)} | {_goals_of(workload, measurements)} |")
    return [*lines, ""] if workloads else []


def _goals_of(workload: Workload, measurements: list[Measurement]) -> str:
    """Return the goals for the time of a workload as one cell, with the figure of the slowest start method."""
    return "; ".join(
        f"{max(verdict.measured.values()):.2f} × {verdict.by}, goal {verdict.goal:g}{'' if verdict.met else ', **missed**'}"
        for verdict in verdicts([workload], measurements)
        if verdict.by
    )


def _on_dask(workloads: list[Workload], measurements: list[Measurement]) -> list[str]:
    lines = []
    for workload in workloads:
        rows = [row for row in measurements if row.workload == workload.name and row.seconds and not row.problem]
        took = {row.engine: row.median for row in rows}
        parallel = max((row.median for row in rows if row.engine == TREADLE), default=None)
        if DASK not in took:
            continue
        peers = [took.get("dask submit loop"), took.get("dask"), parallel]
        ratios = [f"{took[DASK] / seconds:.2f}" if seconds else "" for seconds in peers]
        cells = [*map(_seconds, peers), _seconds(took[DASK]), *ratios]
        lines.append(f"| {workload.name} | {' | '.join(cells)} |")
    if not lines:
        return []
    return [
        "## On a dask cluster",
        "",
        "Each engine on a LocalCluster of its own; Treadle's parallel runner beside it, with its slowest start method.",
        "",
        "| work | submit loop | dask's graph | treadle parallel | treadle dask | ÷ submit loop | ÷ dask's graph | ÷ parallel |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *lines,
        "",
    ]


def _alone(alone: list[Figure]) -> list[str]:
    if not alone:
        return []
    lines = ["## Treadle alone", "", "| what | figure | made of |", "|---|---:|---|"]
    lines += [f"| {figure.what} | {_amount(figure.value, figure.unit)} | {figure.detail} |" for figure in alone]
    return [*lines, ""]


def _workload(workload: Workload, rows: list[Measurement]) -> list[str]:
    measured = [row for row in rows if row.seconds and not row.problem]
    plain = next((row.median for row in measured if row.engine == PLAIN), None)
    by_hand = {row.method: row.median for row in measured if row.engine in {"futures loop", "loky loop"}}
    lines = [
        f"## {workload.name}",
        "",
        f"{workload.about[:1].upper()}{workload.about[1:]}.{_memory(workload, measured)}",
        "",
        "| engine | start method | seconds | repeats | ÷ loop by hand | ÷ plain loop | peak MB | ÷ needed |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    needed, _ = needed_bytes(workload, measured)
    for row in rows:
        if row.problem:
            lines.append(f"| {row.engine} | {row.method} | {row.problem} | | | | | |")
            continue
        versus = f"{row.median / by_hand[row.method]:.2f}" if row.method in by_hand else ""
        ratio = f"{row.median / plain:.2f}" if plain else ""
        by_needed = f"{row.peak_bytes / needed:.2f}" if workload.live_bytes else ""
        figures = f"{_seconds(row.median)} | {len(row.seconds)} | {versus} | {ratio} | {_peak(row)} | {by_needed}"
        lines.append(f"| {row.engine} | {row.method} | {figures} |")
    return [*lines, ""]


def _memory(workload: Workload, measured: list[Measurement]) -> str:
    """Return what the last two columns of a workload's table mean, if its data are large."""
    if not workload.live_bytes:
        return ""
    needed, what = needed_bytes(workload, measured)
    sizes = f"The live data are {workload.live_bytes / 1e6:.0f} MB. The work itself needs {needed / 1e6:.0f} MB: {what}."
    columns = "The last two columns are the peak memory of all processes in the first run, and that peak ÷ what the work needs."
    several = max((len(row.peaks) for row in measured), default=0)
    medians = f"Peaks of engines that are compared are medians of {several} first runs, with their range where it is wide."
    return " ".join(["", sizes, columns, *([medians] if several > 1 else [])])


def _peak(row: Measurement) -> str:
    """Return the peak in megabytes, with the range of the repeats if it is wide."""
    least, most = min(row.peaks, default=0), max(row.peaks, default=0)
    spread = f" ({least / 1e6:.0f} to {most / 1e6:.0f})" if most - least > WIDE * row.peak_bytes else ""
    return f"{row.peak_bytes / 1e6:.0f}{spread}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.5f} s" if value < 0.01 else f"{value:.3f} s"


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return _seconds(value)
    return f"{value:.2f} ×" if unit == "×" else f"{value:.1f} {unit}"


def _yes(met: bool) -> str:  # noqa: FBT001 - a verdict in, a word out
    return "yes" if met else "**no**"
