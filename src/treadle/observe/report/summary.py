"""The summary of a run: its numbers, and three sentences on what limits it. State: none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.events import Outcome
from treadle.observe.report.amounts import format_count, format_share, format_time, shortened
from treadle.observe.report.timeline import statuses
from treadle.observe.report.usage import busy_seconds, dataset_sizes, memory_of, moved_bytes
from treadle.observe.store.records import SessionState

if TYPE_CHECKING:
    from treadle.observe.report.critical_path import CriticalPath
    from treadle.observe.report.timeline import Timeline
    from treadle.observe.report.what_if import Estimates
    from treadle.observe.store import RunRecord, SessionRecord

_LARGE = 0.2
"""From which share of the run on a wait is worth a sentence."""

_SHORT = 0.005
"""Nodes that take fewer seconds on average are short, compared with the time between them."""

_CAUSES = {
    "startup": "for workers to start",
    "worker": "for a free worker",
    "resource": "for a limited resource",
    "delay": "for the delay before another attempt",
    "transfer": "for values to be transferred",
    "inputs": "for inputs",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a run.

    Attributes:
        outcome: how it ended, or `"running"`, `"lost"` or `"not started"`.
        wall: seconds of the run.
        work: seconds of all attempts together.
        workers: number of workers.
        speedup: work divided by wall time.
        efficiency: speed-up divided by the number of workers.
        busy: share of their time that the workers ran nodes.
        peak_memory, memory_limit: bytes; None if unknown.
        moved: bytes that were used by other workers than the one that made them.
        counts: number of nodes by outcome.
        retries: number of attempts that were repeated.
        limits: three sentences on what limits the run.
    """

    outcome: str
    wall: float
    work: float
    workers: int
    speedup: float
    efficiency: float
    busy: float
    peak_memory: int | None
    memory_limit: int | None
    moved: int
    counts: dict[str, int]
    retries: int
    limits: tuple[str, ...]


def summarize(
    session: SessionRecord, run: RunRecord | None, timeline: Timeline, path: CriticalPath, estimates: Estimates | None
) -> Summary:
    """Summarize a run.

    Args:
        session: its session.
        run: the run; None if the session has none.
        timeline: its timeline.
        path: its critical path.
        estimates: its duration with other numbers of workers, if they could be simulated.
    """
    work = sum(each.seconds for each in timeline.attempts)
    workers = max(timeline.worker_count, 1)
    busy = busy_seconds(timeline)
    memory = memory_of(run) if run is not None else None
    counts: dict[str, int] = {}
    for status in statuses(timeline):
        counts[status] = counts.get(status, 0) + 1
    wall = timeline.wall
    speedup = work / wall if wall else 0.0
    summary = Summary(
        outcome=outcome_of(session, run),
        wall=wall,
        work=work,
        workers=workers,
        speedup=speedup,
        efficiency=speedup / workers,
        busy=sum(busy.values()) / (wall * workers) if wall else 0.0,
        peak_memory=memory.peak if memory is not None else None,
        memory_limit=memory.limit if memory is not None else None,
        moved=moved_bytes(timeline, dataset_sizes(run.nodes)) if run is not None else 0,
        counts=counts,
        retries=sum(each.number > 1 for each in timeline.attempts),
        limits=(),
    )
    if not timeline.attempts:
        return summary
    sentences = (
        _path_sentence(timeline, path, estimates),
        _workers_sentence(summary, timeline, path),
        _phases_sentence(timeline),
    )
    return Summary(**{name: getattr(summary, name) for name in Summary.__slots__ if name != "limits"}, limits=sentences)


def outcome_of(session: SessionRecord, run: RunRecord | None) -> str:
    """Return how a run ended; whether it still runs, or its process is gone, if it has not ended."""
    if run is not None and run.outcome is not None:
        return str(run.outcome.value)
    if session.state is not SessionState.FINISHED:
        return str(session.state.value)
    outcome: str = session.outcome.value if session.outcome is not None else "not started"
    return outcome


def _path_sentence(timeline: Timeline, path: CriticalPath, estimates: Estimates | None) -> str:
    wall = timeline.wall or 1.0
    longest = max(path.steps, key=lambda step: step.attempt.seconds).attempt
    name = shortened(timeline.graph.nodes[longest.node].name)
    share = format_share(path.work / wall)
    if len(path.steps) == 1:
        start = f"The critical path is the node {name}, which runs for {share} of the run."
    else:
        start = (
            f"The nodes of the critical path run for {share} of the run; the longest of its {len(path.steps)} nodes is {name} "
            f"({format_time(longest.seconds)})."
        )
    if estimates is None:
        return start
    now, more = timeline.worker_count, max(2 * timeline.worker_count, 2)
    simulated = estimates.at(more)
    current = estimates.at(now) if simulated is not None else estimates.recorded
    if current is None or current <= 0:
        return start
    doubled = simulated if simulated is not None else estimates.least(more)
    saved = (current - doubled) / current
    workers = format_count(more, "worker")
    if saved < 0.05:
        return f"{start} More workers would not help: no schedule is shorter than {format_time(estimates.critical_path)}."
    if simulated is None:  # a lower bound; handing out many short nodes may take longer than any of it
        return (
            f"{start} With {workers} no schedule is shorter than {format_time(doubled)}; the nodes took {format_time(current)}."
        )
    return f"{start} With {workers} the nodes would need {format_time(doubled)} instead of {format_time(current)}."


def _workers_sentence(summary: Summary, timeline: Timeline, path: CriticalPath) -> str:
    busy = "was" if summary.workers == 1 else "were"
    workers = "The worker" if summary.workers == 1 else f"The {summary.workers} workers"
    start = f"{workers} {busy} busy for {format_share(min(summary.busy, 1.0))} of the time"
    waits = {cause: took for cause, took in path.seconds.items() if cause in _CAUSES}
    cause, took = max(waits.items(), key=lambda each: each[1], default=("", 0.0))
    mean = summary.work / len(timeline.attempts)
    if cause == "worker" and summary.busy < 0.5 and mean < _SHORT:
        return (
            f"{start}: the nodes are so short ({format_time(mean)} on average) that most of the time goes into handing them out."
        )
    if timeline.wall and took / timeline.wall >= _LARGE:
        return f"{start}; the critical path waited {format_time(took)} ({format_share(took / timeline.wall)}) {_CAUSES[cause]}."
    if summary.workers > 1 and summary.busy < 0.5:
        return f"{start}: too few nodes were ready at the same time."
    return f"{start}; the critical path hardly waited."


def _phases_sentence(timeline: Timeline) -> str:
    known = [each for each in timeline.attempts if each.load is not None]
    total = sum(each.seconds for each in known)
    if not known or total <= 0:
        return "No node has finished, so it is not known how long loading and saving takes."
    load, save = sum(each.load or 0.0 for each in known), sum(each.save or 0.0 for each in known)
    most = max(known, key=lambda each: (each.load or 0.0) + (each.save or 0.0))
    name = shortened(timeline.graph.nodes[most.node].name)
    share = (load + save) / total
    start = f"Loading takes {format_share(load / total)} and saving {format_share(save / total)} of the time of all nodes"
    if share < 0.1:
        return f"{start}: nearly all of it is spent in the functions."
    return f"{start}, most of it in {name} ({format_time((most.load or 0.0) + (most.save or 0.0))})."


def failed_nodes(run: RunRecord) -> list[str]:
    """Return the nodes that failed, in plan order."""
    return list(dict.fromkeys(node.node for node in run.nodes if node.outcome is Outcome.FAILED))
