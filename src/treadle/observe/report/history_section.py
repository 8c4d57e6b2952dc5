"""The section about earlier runs: how long each node and the whole run took in them. State: none.

Neighbours: `history.py` reads the earlier runs, `sections.py` has the other sections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.observe.report.amounts import format_count, format_time

if TYPE_CHECKING:
    from treadle.observe.report.analysis import ReportContent
    from treadle.observe.report.history import NodeHistory, Usual

_HISTORIES = 200


def history_section(report: ReportContent) -> dict[str, Any] | None:
    """Return the section; None if there are no earlier runs."""
    if not report.past:
        return None
    histories = shown_histories(report)
    outliers = sum(each.is_outlier for each in report.histories)
    runs = format_count(len(report.past), "earlier run")
    sentence = f"Compared with {runs} of the same project and environment. "
    if outliers:
        sentence += (
            f"{format_count(outliers, 'node')} took unusually long or short: further from the median than their noise explains."
        )
    else:
        sentence += "No node took unusually long or short."
    if len(histories) < len(report.histories):
        sentence += f" The table has the {len(histories)} nodes that are unusual or take longest, of {len(report.histories):,}."
    rows = [
        {
            "index": index,
            "name": each.node,
            "now": format_time(each.now) if each.now is not None else "–",
            "usual": usual_time(each.usual),
            "range": f"{format_time(each.usual.shortest)} – {format_time(each.usual.longest)}" if each.usual is not None else "",
            "runs": each.usual.runs if each.usual is not None else 0,
            "outlier": _outlier(each),
            "kind": "slower" if each.usual is not None and each.now is not None and each.now > each.usual.middle else "faster",
        }
        for index, each in enumerate(histories)
    ]
    return {"sentence": sentence, "rows": rows}


def usual_time(usual: Usual | None) -> str:
    """Return how long a node usually takes, as text."""
    if usual is None:
        return "new"
    return format_time(usual.middle) + (f" ± {format_time(usual.noise)}" if usual.runs > 2 else "")


def shown_histories(report: ReportContent) -> list[NodeHistory]:
    """Return the histories of nodes that are shown: outliers first, then those that took longest."""
    return sorted(report.histories, key=lambda each: (not each.is_outlier, -(each.now or 0.0)))[:_HISTORIES]


def _outlier(history: NodeHistory) -> str:
    if not history.is_outlier or history.usual is None or history.now is None or not history.usual.middle:
        return ""
    return f"{'▲' if history.now > history.usual.middle else '▼'} {history.now / history.usual.middle:.2f} × the usual time"
