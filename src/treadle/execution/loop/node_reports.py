"""Report the start and the end of each attempt at a node to the observers, each once and in this order.

A worker reports the start of a node only if the node takes long; otherwise its end says when it started.

Runs in the parent, in the loop's thread. State: the nodes whose start was reported. Neighbours: `loop.py` calls it,
`dispatches.py` knows when a node was sent, `failure_handler.py` reports failed attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.events import NodeFinished, NodeStarted

if TYPE_CHECKING:
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
        self._finishing: tuple[int, Finished, int] | None = None  # what `finished` is reporting

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
        self._started.add(node)
        name, attempt = self._plan.nodes[node].name, self._scheduler.attempt(node)
        self._observers.notify(NodeStarted(name, self._executor.label(worker), attempt, at, self._dispatches.of(node)))

    def ended(self, node: int) -> None:
        """Note that an attempt at a node has ended: the start of the next one is reported again."""
        self._started.discard(node)

    def finished(self, worker: int, fact: Finished, attempt: int) -> None:
        """Report that an attempt has succeeded, and its start, if that was not reported.

        Args:
            worker: where it ran.
            fact: the worker's message.
            attempt: the number of the attempt.
        """
        self._finishing = worker, fact, attempt
        if fact.node not in self._started:
            self._report_start(worker, fact.node, fact.started)
        datasets = self._plan.datasets
        sizes = [
            (datasets[dataset].name, size)
            for dataset, handle in fact.outputs
            if datasets[dataset].in_memory and (size := handle.size)
        ]
        event = NodeFinished(  # by position, which takes half as long: this is most of what a tiny node costs here
            self._plan.nodes[fact.node].name,
            self._executor.label(worker),
            attempt,
            fact.started,
            fact.at,
            fact.load_seconds,
            fact.run_seconds,
            fact.save_seconds,
            tuple(sizes),
            fact.contents,
            self._dispatches.of(fact.node),
        )
        self._finishing = None  # from here on, all observers receive the event
        self._started.discard(fact.node)
        self._dispatches.take(fact.node)
        self._observers.notify(event)

    def complete(self) -> None:
        """Continue the report that an interrupt stopped."""
        if self._finishing is not None:
            self.finished(*self._finishing)
