"""Report the start and the end of each attempt at a node to the observers, each once and in this order.

A worker reports the start of a node only if the node takes long; otherwise its end says when it started.

Runs in the parent, in the loop's thread. State: the nodes whose start was reported, and those whose end is not yet. Neighbours:
`loop.py` calls it, `dispatches.py` knows when a node was sent, `failure_handler.py` reports failed attempts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from treadle.events import NodeFinished, NodeStarted
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.dispatches import Dispatches
    from treadle.execution.loop.observers import Observers
    from treadle.execution.protocol.messages import Finished
    from treadle.execution.scheduling.scheduler import Scheduler
    from treadle.planning import Plan


class NodeReports:
    """The reports about the nodes of a run.

    Args:
        plan: the run.
        executor: knows the labels of its workers.
        scheduler: knows which worker holds which node, and the number of the attempt.
        observers: receive the reports.
        dispatches: when each node was sent.
    """

    def __init__(
        self, plan: Plan, executor: Executor, scheduler: Scheduler, observers: Observers, dispatches: Dispatches
    ) -> None:
        self._plan, self._executor, self._scheduler = plan, executor, scheduler
        self._observers, self._dispatches = observers, dispatches
        self._started: set[int] = set()  # running nodes whose start was reported
        self._finished: deque[tuple[int, Finished]] = deque()  # finished nodes that are still to be reported, with their workers

    def started(self, worker: int, node: int, at: float) -> None:
        """Report that an attempt has started, unless that was reported, or the attempt ended while the message was in flight.

        Args:
            worker: where it runs.
            node: its index.
            at: when it started, in seconds since the epoch.
        """
        if node in self._started or not self._scheduler.holds(worker, node):
            return
        self._report_start(worker, node, at)

    def _report_start(self, worker: int, node: int, at: float) -> None:
        name, attempt = self._plan.nodes[node].name, self._scheduler.attempt(node)
        event = new_record(NodeStarted, (name, self._executor.label(worker), attempt, at, self._dispatches.of(node)))
        self._started.add(node)  # from here on, all observers receive the event
        self._observers.notify(event)

    def ended(self, node: int) -> None:
        """Note that an attempt at a node has ended: the start of the next one is reported again."""
        self._started.discard(node)

    def add_finished(self, worker: int, facts: Iterable[Finished]) -> None:
        """Note that attempts have succeeded; `report_finished` reports them once the scheduler knows it, too.

        Args:
            worker: where they ran.
            facts: the worker's messages.
        """
        self._finished.extend([(worker, fact) for fact in facts])

    def report_finished(self) -> None:
        """Report the attempts that have succeeded, and their starts, if those were not reported.

        An interrupt may end this at any point; the next call continues.
        """
        while self._finished:
            worker, fact = self._finished[0]
            if self._scheduler.holds(worker, fact.node):  # an interrupt came first: the loop handles the message again
                self._finished.popleft()
            else:
                self._report_finish(worker, fact)

    def _report_finish(self, worker: int, fact: Finished) -> None:
        if fact.node not in self._started:
            self._report_start(worker, fact.node, fact.started)
        datasets = self._plan.datasets
        sizes = [
            (datasets[dataset].name, size)
            for dataset, handle in fact.outputs
            if datasets[dataset].in_memory and (size := handle.size)
        ]
        event = new_record(  # which takes half as long: this is most of what a tiny node costs here
            NodeFinished,
            (
                self._plan.nodes[fact.node].name,
                self._executor.label(worker),
                self._scheduler.attempt(fact.node),
                fact.started,
                fact.at,
                fact.load_seconds,
                fact.run_seconds,
                fact.save_seconds,
                tuple(sizes),
                fact.contents,
                self._dispatches.of(fact.node),
            ),
        )
        self._finished.popleft()  # from here on, all observers receive the event
        self._started.discard(fact.node)
        self._dispatches.take(fact.node)
        self._observers.notify(event)
