"""The data of a report as JSON for the page: columns of numbers, in units that keep them short.

State: none. Neighbours: `page.py` puts the JSON into the page, `page/*.js` draws it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.observe.report.layout import place_nodes
from treadle.observe.report.node_logs import logs_payload
from treadle.observe.report.timeline import CAUSES, LOST, NOT_REACHED, RUNNING, WAITING, statuses
from treadle.observe.report.usage import busy_seconds, concurrency, dataset_sizes, memory_of
from treadle.observe.store.run_graph import MEMORY, PARAMETERS, PERSISTENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.report.critical_path import CriticalPath
    from treadle.observe.report.folding import Folded
    from treadle.observe.report.timeline import Timeline
    from treadle.observe.report.what_if import Estimates
    from treadle.observe.store import RunRecord

_LETTERS = {
    Outcome.SUCCEEDED: "s",
    Outcome.FAILED: "f",
    Outcome.SKIPPED: "k",
    Outcome.REUSED: "u",
    Outcome.INTERRUPTED: "i",
}
"""One letter for each outcome of a node."""

_STATUS_LETTERS = {outcome.value: letter for outcome, letter in _LETTERS.items()} | {
    WAITING: "w",
    RUNNING: "r",
    LOST: "l",
    NOT_REACHED: "n",
}
"""One letter for each status of a node."""

_KINDS = {PARAMETERS: "p", MEMORY: "m", PERSISTENT: "f"}
"""One letter for each kind of dataset."""

_MOST_EDGES = 60_000
"""How many edges a page has at most; with more, the graph is drawn without datasets."""


def run_payload(run: RunRecord, timeline: Timeline, folded: Folded, path: CriticalPath) -> dict[str, Any]:
    """Return what the page draws of a run.

    Args:
        run: the run.
        timeline: its timeline.
        folded: the same, with as many nodes as a page shows.
        path: its critical path.
    """
    shown, graph = folded.timeline, folded.timeline.graph
    unit = time_unit(timeline.wall)
    names = [node.name for node in graph.nodes]
    places = {name: index for index, name in enumerate(names)}
    critical = [timeline.graph.nodes[step.attempt.node].name for step in path.steps]
    columns, rows = place_nodes(graph.nodes)
    return {
        "wall": timeline.wall,
        "unit": unit,
        "workers": _workers(run, timeline),
        "names": names,
        "counts": folded.counts if folded.sentence else None,
        "folded": folded.sentence,
        "namespaces": _table([node.namespace or "" for node in graph.nodes]),
        "sources": _table([_source(node.source.function, node.source.file, node.source.line) for node in graph.nodes]),
        "tags": {index: list(node.tags) for index, node in enumerate(graph.nodes) if node.tags},
        "outcomes": "".join(_STATUS_LETTERS[status] for status in statuses(shown)),
        "critical": list(dict.fromkeys(places[name] for name in critical if name in places)),
        "columns": columns,
        "rows": rows,
        "parents": [list(node.parents) for node in graph.nodes] if shown.has_edges else None,
        **_datasets(run, folded),
        "attempts": _attempts(shown, unit),
        "errors": _errors(run, names),
        "logs": logs_payload(run, names),
        "concurrency": [round(count, 2) for _at, count in concurrency(timeline)],
        "memory": _memory(run),
    }


def time_unit(wall: float) -> float:
    """Return the seconds of one unit of time in the columns: small enough that a bar is drawn exactly, but no smaller."""
    return max(1e-6, 10.0 ** math.floor(math.log10(max(wall, 1e-3) / 1e5))) if wall else 1e-6


def estimates_payload(estimates: Estimates, now: int) -> dict[str, Any]:
    """Return what the page draws of the estimates for other numbers of workers than now."""
    return {
        "now": now,
        "makespans": [
            [count, None if seconds is None else round(seconds, 6), round(least, 6)]
            for count, seconds, least in estimates.table(now)
        ],
        "criticalPath": estimates.critical_path,
        "work": estimates.work,
        "recorded": estimates.recorded,
    }


def _table(values: Sequence[str]) -> dict[str, Any]:
    """Return a column of strings with each different one once."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return {"values": list(places), "index": [places[value] for value in values]}


def _source(function: str, file: str | None, line: int | None) -> str:
    return f"{function}\n{file}:{line}" if file is not None else function


def _workers(run: RunRecord, timeline: Timeline) -> list[dict[str, Any]]:
    busy = busy_seconds(timeline)
    found: dict[str, dict[str, Any]] = {name: {"name": name, "busy": busy[name], "starts": []} for name in timeline.workers}
    for worker in run.workers:
        times = [None if at is None else at - run.started for at in (worker.launched, worker.started, worker.lost)]
        found[worker.worker]["starts"].append([*times, worker.exitcode, worker.pid])
    return list(found.values())


def _attempts(timeline: Timeline, unit: float) -> dict[str, Any]:
    attempts, places = timeline.attempts, {name: index for index, name in enumerate(timeline.workers)}
    without_end = _STATUS_LETTERS[LOST if timeline.is_lost else RUNNING]

    def column(values: list[float | None]) -> list[int]:
        return [-1 if value is None else round(value / unit) for value in values]

    columns: dict[str, Any] = {
        "node": [each.node for each in attempts],
        "number": [each.number for each in attempts] if any(each.number != 1 for each in attempts) else None,
        "worker": [places[each.worker] for each in attempts],
        "outcome": "".join(without_end if each.outcome is None else _LETTERS[each.outcome] for each in attempts),
        "started": column([each.started for each in attempts]),
        "seconds": column([each.seconds for each in attempts]),
        "load": column([each.load for each in attempts]),
        "run": column([each.run for each in attempts]),
        "save": column([each.save for each in attempts]),
    }
    for cause in CAUSES:
        waits = column([getattr(each.waits, cause) for each in attempts])
        columns[f"wait_{cause}"] = waits if any(waits) else None
    return columns


def _datasets(run: RunRecord, folded: Folded) -> dict[str, Any]:
    graph = folded.timeline.graph
    if folded.sentence or sum(len(node.inputs) + len(node.outputs) for node in graph.nodes) > _MOST_EDGES:
        return {"datasets": None}
    sizes = dataset_sizes(run.nodes)
    return {
        "datasets": [each.name for each in graph.datasets],
        "kinds": "".join(_KINDS[each.kind] for each in graph.datasets),
        "params": {
            index: _text(run.parameters[each.name]) for index, each in enumerate(graph.datasets) if each.name in run.parameters
        },
        "sizes": {index: sizes[each.name] for index, each in enumerate(graph.datasets) if each.name in sizes},
        "inputs": [list(node.inputs) for node in graph.nodes],
        "outputs": [list(node.outputs) for node in graph.nodes],
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _errors(run: RunRecord, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the errors of the first attempts that failed; others are counted in the summary."""
    places = {name: index for index, name in enumerate(names)}
    failed = [node for node in run.nodes if node.error is not None and node.node in places][:200]
    return [
        {
            "node": places[node.node],
            "number": node.attempt,
            "type": node.error.type_name,
            "message": node.error.message[:2000],
            "traceback": node.error.traceback[-8000:],
        }
        for node in failed
        if node.error is not None
    ]


def _memory(run: RunRecord) -> dict[str, Any] | None:
    memory = memory_of(run)
    if memory is None:
        return None
    return {
        "limit": memory.limit,
        "times": memory.times,
        "processes": [
            [name, [None if size is None else round(size / 1e5) for size in sizes]] for name, sizes in memory.processes
        ],
    }
