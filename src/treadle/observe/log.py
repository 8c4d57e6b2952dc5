"""Write a run's events as log lines, for pipes, files and CI.

One line per node, when it ends; failures are warnings or errors. The message of a failure that ends the run is omitted, because
the run raises an error with it. Records have the fields `node` and `worker`, like those sent by workers. State: the numbers of
total and finished nodes. Neighbours: `progress.py` shows the same on a terminal; `cli/display.py` chooses between the two.
"""

from __future__ import annotations

import logging

from treadle.events import (
    DatasetReleased,
    Event,
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
)
from treadle.exits import describe_exit
from treadle.printable import printable


class _Tally:
    def __init__(self, total: int = 0, started: float = 0.0) -> None:
        self.total = total
        self.started = started
        self.done: set[str] = set()  # without a node that runs again, because its value was lost with a worker
        self.skipped = 0
        self.reused: set[str] = set()
        self.ended_well = False


class LogObserver:
    """Observe a run by writing log lines.

    Args:
        logger: the logger to use; by default `treadle.run`.
    """

    ignored_events = (DatasetReleased,)

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger if logger is not None else logging.getLogger("treadle.run")
        self._tally = _Tally()

    def __call__(self, event: Event, /) -> None:
        """Handle one event."""
        match event:
            case RunStarted():
                self._run_started(event)
            case NodeFinished():
                self._node_finished(event)
            case NodeFailed():
                self._node_failed(event)
            case NodeSkipped():
                self._tally.skipped += 1
            case NodeReused():
                self._tally.reused.add(event.node)
            case NodeStarted():
                self._tally.reused.discard(event.node)
                self._tally.done.discard(event.node)
            case WorkerLost():
                self._worker_lost(event)
            case RunFinished():
                self._run_finished(event)
            case _:
                pass

    def _run_started(self, event: RunStarted) -> None:
        self._tally = _Tally(total=len(event.nodes), started=event.at)
        if not event.nodes:
            return
        workers = f", {event.workers} workers" if event.workers > 1 else ""
        methods = [each for each in (event.start_method, event.start_method_reason) if each]
        method = f" ({': '.join(methods)})" if methods else ""
        nodes = "1 node" if len(event.nodes) == 1 else f"{len(event.nodes)} nodes"
        chosen = f" ({event.reason})" if event.reason else ""
        self.logger.info("Running %s: %s runner%s%s%s.", nodes, event.runner, workers, method, chosen)

    def _node_finished(self, event: NodeFinished) -> None:
        self._tally.done.add(event.node)
        self.logger.info(
            "%s %s: %.2f s on %s",
            self._count(),
            printable(event.node),
            event.at - event.started,
            event.worker,
            extra={"node": event.node, "worker": event.worker},
        )

    def _node_failed(self, event: NodeFailed) -> None:
        took = f" after {event.at - event.started:.2f} s" if event.started is not None else ""
        extra = {"node": event.node, "worker": event.worker}
        if event.final and event.failure.ends_well:
            self._tally.ended_well = True
            self.logger.info(
                "%s %s ended the run with sys.exit(0)%s on %s",
                self._count(),
                printable(event.node),
                took,
                event.worker,
                extra=extra,
            )
            return
        message = "" if event.final else next(iter(event.failure.message.strip().splitlines()), "")
        self.logger.log(
            logging.ERROR if event.final else logging.WARNING,
            "%s %s failed%s on %s%s: %s%s",
            self._count(),
            printable(event.node),
            took,
            event.worker,
            "" if event.final else f" (attempt {event.attempt}, will be retried)",
            event.failure.type_name,
            f": {printable(message)}" if message else "",
            extra=extra,
        )

    def _worker_lost(self, event: WorkerLost) -> None:
        self.logger.warning(
            "%s (pid %d) %s%s",
            event.worker,
            event.pid,
            describe_exit(event.exitcode),
            f" while running {printable(event.node)}" if event.node else "",
            extra={"node": event.node, "worker": event.worker},
        )

    def _run_finished(self, event: RunFinished) -> None:
        tally = self._tally
        seconds, done = event.at - tally.started, len(tally.done)
        if not tally.total:
            return
        reused = f", {len(tally.reused)} up to date" if tally.reused else ""
        left = tally.total - done - len(event.failed) - len(tally.reused)
        if event.outcome is Outcome.SUCCEEDED:
            self.logger.info("Finished %d of %d nodes in %.2f s%s.", done, tally.total, seconds, reused)
        elif event.outcome is Outcome.INTERRUPTED:
            self.logger.warning("Interrupted after %.2f s, with %d of %d nodes finished%s.", seconds, done, tally.total, reused)
        elif tally.ended_well and len(event.failed) == 1:
            self.logger.info(
                "Ended after %.2f s: %d of %d nodes finished%s, %d not run.", seconds, done, tally.total, reused, left
            )
        else:
            failed = f", {len(event.failed)} failed" if event.failed else ""
            self.logger.error(
                "Failed after %.2f s: %d of %d nodes finished%s%s, %d not run.",
                seconds,
                done,
                tally.total,
                reused,
                failed,
                left,
            )

    def _count(self) -> str:
        width = len(str(self._tally.total))
        return f"[{len(self._tally.done):>{width}}/{self._tally.total}]"
