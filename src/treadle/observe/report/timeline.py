"""The timeline of a run: every attempt at a node with its phases, and what it waited for before.

Times are seconds after the start of the run. The waits of a node and its phases follow each other without gaps::

    start of the run                                                                   end of the run
    │ inputs │ start-up │ worker or resource │ transfer │ worker │ load, run, save │ … │
             ready                           assigned   submitted started          finished

State: none. Neighbours: `resource_waits.py` finds when a resource was scarce, `critical_path.py` follows the waits backwards.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple
from treadle.observe.report.resource_waits import ResourceUse, blocked_seconds
from treadle.observe.store.records import SessionState
from treadle.observe.store.run_graph import GraphNode, RunGraph, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.events import Outcome
    from treadle.observe.store import NodeRecord, RunRecord, SessionRecord

CAUSES = ("inputs", "startup", "worker", "resource", "delay", "transfer")
"""What an attempt can wait for, in the order of the columns of a table."""


WAITING, RUNNING, LOST, NOT_REACHED = "waiting for a retry", "running", "lost", "not reached"
"""What a node does that has no outcome yet; `"lost"` if it was running when its session was killed."""


class Waits(NamedTuple):
    """Seconds that an attempt waited, by cause.

    Attributes:
        inputs: for the nodes that make its inputs.
        startup: for the first worker to be ready.
        worker: for a free worker.
        resource: for a limited resource that other nodes used.
        delay: for the end of the delay after a failed attempt.
        transfer: for values to be loaded or transferred to its worker.
    """

    inputs: float = 0.0
    startup: float = 0.0
    worker: float = 0.0
    resource: float = 0.0
    delay: float = 0.0
    transfer: float = 0.0

    @property
    def total(self) -> float:
        """All seconds together."""
        return self.inputs + self.startup + self.worker + self.resource + self.delay + self.transfer


class Attempt(NamedTuple):
    """An attempt at a node that started; times never decrease from `since` to `finished`.

    Attributes:
        node: index of the node in the graph.
        number: 1 for the first attempt.
        outcome: how it ended; None if it is running.
        worker: the name of its worker.
        since: when its waits begin: the start of the run, or the end of the previous attempt.
        ready: when its inputs existed and its delay was over.
        assigned: when a worker was chosen.
        submitted: when it was sent to the worker.
        started, finished: when it ran.
        load, run, save: seconds of each phase; None if unknown, as for an attempt whose worker was lost.
        waits: the time from `since` to `started`, by cause.
        awaited: the parent that finished last, if the attempt waited for it.
    """

    node: int
    number: int
    outcome: Outcome | None
    worker: str
    since: float
    ready: float
    assigned: float
    submitted: float
    started: float
    finished: float
    load: float | None
    run: float | None
    save: float | None
    waits: Waits
    awaited: int | None

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.finished - self.started


@dataclass(frozen=True, slots=True)
class Timeline:
    """All attempts of a run.

    Attributes:
        graph: nodes and datasets; without edges if the record has none.
        has_edges: whether the graph is known.
        start: when the run started, seconds since the epoch.
        wall: seconds from its start to its end; until the last sign of life if it has no end.
        attempts: in the order of their start, so those at one node are in the order of their numbers.
        outcomes: how each node ended, by its index; None for a node that is running, waits for a retry, or was not reached.
        workers: names of the workers, in order.
        worker_count: number of workers that the run was given.
        waiting: the nodes that have failed and are attempted again, in a run that goes on.
        is_lost: whether the process of the session is gone, so that nothing in it is running any more.
    """

    graph: RunGraph
    has_edges: bool
    start: float
    wall: float
    attempts: tuple[Attempt, ...]
    outcomes: tuple[Outcome | None, ...]
    workers: tuple[str, ...]
    worker_count: int
    waiting: frozenset[int] = frozenset()
    is_lost: bool = False

    @property
    def last(self) -> dict[int, Attempt]:
        """The last attempt at each node that started, by index of the node."""
        return {attempt.node: attempt for attempt in self.attempts}


def timeline_of(session: SessionRecord, run: RunRecord) -> Timeline:
    """Return the timeline of a run.

    Args:
        session: the session of the run.
        run: the run.
    """
    graph = run.graph or _graph_without_edges(run)
    places = {node.name: index for index, node in enumerate(graph.nodes)}
    end, is_lost = _end_of(session, run), session.state is SessionState.LOST
    records: defaultdict[int, list[NodeRecord]] = defaultdict(list)
    outcomes: list[Outcome | None] = [None] * len(graph.nodes)
    for record in run.nodes:
        place = places.get(record.node)
        if place is not None:
            records[place].append(record)
    waiting = set()
    for place, of_node in records.items():
        newest = of_node[0] if len(of_node) == 1 else max(of_node, key=lambda each: each.attempt)
        if newest.retried and run.outcome is None and not is_lost:
            waiting.add(place)
        else:
            outcomes[place] = newest.outcome
    finished = {place: max(each.finished or 0.0 for each in of_node) - run.started for place, of_node in records.items()}
    ready_workers = [worker.started for worker in run.workers if worker.started is not None]
    first_worker = max(0.0, min(ready_workers, default=run.started) - run.started)
    attempts = [
        attempt
        for place in sorted(records)
        for attempt in _attempts_at(place, graph.nodes[place], records[place], finished, (run.started, first_worker, end))
    ]
    _split_resource_waits(attempts, graph)
    attempts.sort(key=lambda each: (each.started, each.node, each.number))
    workers = _workers_of(run, attempts)
    return Timeline(
        graph,
        run.graph is not None,
        run.started,
        max(0.0, end - run.started),
        tuple(attempts),
        tuple(outcomes),
        workers,
        max(run.worker_count or 0, 1),
        frozenset(waiting),
        is_lost,
    )


def statuses(timeline: Timeline) -> list[str]:
    """Return the status of each node in words.

    Args:
        timeline: the run.

    Returns:
        How it ended, or `"waiting for a retry"`, `"running"`, `"lost"` or `"not reached"`, by index.
    """
    started = {attempt.node for attempt in timeline.attempts}
    found = []
    for index, outcome in enumerate(timeline.outcomes):
        if outcome is not None:
            found.append(outcome.value)
        elif index in timeline.waiting:
            found.append(WAITING)
        else:
            found.append(NOT_REACHED if index not in started else LOST if timeline.is_lost else RUNNING)
    return found


def empty_timeline(session: SessionRecord) -> Timeline:
    """Return the timeline of a session in which nothing ran.

    Args:
        session: the session.
    """
    return Timeline(
        RunGraph(), has_edges=False, start=session.started, wall=0.0, attempts=(), outcomes=(), workers=(), worker_count=1
    )


def _graph_without_edges(run: RunRecord) -> RunGraph:
    unknown = Source("", None, None)
    names = dict.fromkeys(record.node for record in run.nodes)
    return RunGraph(tuple(GraphNode(name, (), (), (), None, (), unknown, main_only=False, resources=()) for name in names))


def _end_of(session: SessionRecord, run: RunRecord) -> float:
    """Return when a run ended, or the last time at which something is known to have happened in it."""
    if run.finished is not None:
        return run.finished
    times = [each for node in run.nodes for each in (node.started, node.finished) if each is not None]
    return max([run.started, session.heartbeat or 0.0, *times])


def _attempts_at(
    place: int, node: GraphNode, records: Sequence[NodeRecord], finished: Mapping[int, float], times: tuple[float, float, float]
) -> list[Attempt]:
    """Return the attempts at a node; waits for resources count as waits for workers. `times`: start, first worker, end."""
    start, first_worker, end = times
    made = max(((finished.get(parent, 0.0), parent) for parent in node.parents), default=(0.0, None))
    attempts: list[Attempt] = []
    for record in sorted(records, key=lambda each: each.attempt):
        if record.started is None:
            continue
        since = attempts[-1].finished if attempts else 0.0
        started = max(since, record.started - start)
        dispatch = record.dispatch
        inputs = max(since, min(made[0], started)) if not attempts else since
        delayed = dispatch.delayed_until - start if dispatch is not None and dispatch.delayed_until is not None else inputs
        ready = min(max(inputs, delayed), started)
        submitted = min(max(dispatch.submitted - start, ready), started) if dispatch is not None else started
        assigned = submitted
        if dispatch is not None and dispatch.assigned is not None:
            assigned = min(max(dispatch.assigned - start, ready), submitted)
        queued = (assigned - ready) + (started - submitted)
        startup = min(max(0.0, min(first_worker, started) - ready), queued)
        attempts.append(
            Attempt(
                node=place,
                number=record.attempt,
                outcome=record.outcome,
                worker=record.worker or "main",
                since=since,
                ready=ready,
                assigned=assigned,
                submitted=submitted,
                started=started,
                finished=max(started, (record.finished if record.finished is not None else end) - start),
                load=record.load_seconds,
                run=record.run_seconds,
                save=record.save_seconds,
                waits=Waits(inputs - since, startup, queued - startup, 0.0, ready - inputs, submitted - assigned),
                awaited=made[1] if not attempts and made[0] > 0.0 else None,
            )
        )
    return attempts


def _split_resource_waits(attempts: list[Attempt], graph: RunGraph) -> None:
    """Split the waits for workers of the nodes that need limited resources."""
    needing = {index: each for index, each in enumerate(attempts) if graph.nodes[each.node].resources}
    if not needing:
        return
    uses = [ResourceUse(graph.nodes[each.node].resources, each.submitted, each.finished) for each in needing.values()]
    waits = {index: (graph.nodes[each.node].resources, each.ready, each.assigned) for index, each in needing.items()}
    for index, seconds in blocked_seconds(graph.limits, uses, waits).items():
        each = attempts[index]
        resource = min(seconds, each.waits.worker)
        split = each.waits._replace(resource=resource, worker=each.waits.worker - resource)
        attempts[index] = each._replace(waits=split)


def _workers_of(run: RunRecord, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    names = dict.fromkeys([*(worker.worker for worker in run.workers), *(attempt.worker for attempt in attempts)])
    return tuple(sorted(names, key=_natural))


def _natural(name: str) -> tuple[str, int, str]:
    """Return a key that sorts `worker-2` before `worker-10`."""
    head, _, number = name.rpartition("-")
    return (head, int(number), "") if number.isdecimal() else (name, 0, "")
