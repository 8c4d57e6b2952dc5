"""Figures as a Markdown table: seconds, and ratios to the hand-written loop of the same start method and to a plain loop."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measure import Measurement


def markdown(measurements: list[Measurement], heading: str) -> str:
    """Return the tables, one a workload."""
    lines = [f"Measured {heading}.", ""]
    for workload, group in groupby(measurements, key=lambda each: each.workload):
        rows = list(group)
        plain = next(row.median for row in rows if row.engine == "plain loop")
        by_hand = {row.method: row.median for row in rows if row.engine == "futures loop"}
        lines += [
            f"### {workload}",
            "",
            "| engine | start method | seconds | × futures loop | × plain loop | peak MB |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for row in rows:
            hand = by_hand.get(row.method)
            versus = f"{row.median / hand:.2f}" if hand else ""
            ratios = f"{versus} | {row.median / plain:.2f}"
            lines.append(f"| {row.engine} | {row.method} | {row.median:.4f} | {ratios} | {row.peak_bytes / 1e6:.0f} |")
        lines.append("")
    return "\n".join(lines)
