"""What a progress display shows of a run: the busy workers, the number of finished nodes, the remaining time.

State: that of one run, changed by its events. Neighbours: `progress.py` draws it on a terminal, `ipython.py` in a notebook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.events import (
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
    WorkerLost,
)

if TYPE_CHECKING:
    from treadle.events import Event


@dataclass(slots=True)
class RunProgress:
    """The state of a run as displayed; independent of clock and terminal."""

    total: int = 0
    workers: int = 1
    description: str = ""
    started: float = 0.0
    done_nodes: set[str] = field(default_factory=set)
    """Nodes that have finished; a node that runs again, because its value was lost with a worker, is not among them meanwhile."""
    skipped: int = 0
    reused: set[str] = field(default_factory=set)
    """Nodes that did not run, because they are up to date."""
    failed: list[str] = field(default_factory=list)
    busy: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The node that each busy worker runs and its start time, by label of the worker."""
    finishes: int = 0
    """How often a node has finished: more often than there are such nodes if some ran again."""
    busy_seconds: float = 0.0
    """Total seconds of these."""
    unfinished_lines: dict[str, str] = field(default_factory=dict)
    """The current state of a line that a busy node overwrites repeatedly, such as a progress bar, by node."""
    finished: RunFinished | None = None
    ended_by: str | None = None
    """The node that ended the run with `sys.exit(0)`."""

    @property
    def done(self) -> int:
        """The number of nodes that have finished."""
        return len(self.done_nodes)

    def update(self, event: Event) -> None:
        """Apply one event of the run."""
        match event:
            case RunStarted():
                self.total, self.workers, self.started = len(event.nodes), event.workers, event.at
                self.description = event.runner if event.workers <= 1 else f"{event.runner}, {event.workers} workers"
                self.description += f", {event.start_method}" if event.start_method else ""
            case NodeStarted():
                self.reused.discard(event.node)
                self.done_nodes.discard(event.node)
                self.busy[event.worker] = (event.node, event.at)
            case NodeFinished():
                self._remove_busy(event.worker, event.node)
                self.done_nodes.add(event.node)
                self.finishes += 1
                self.busy_seconds += event.at - event.started
            case NodeFailed():
                self._remove_busy(event.worker, event.node)
                if event.final:
                    self.failed.append(event.node)
                    self.ended_by = event.node if event.failure.ends_well else None
            case NodeSkipped():
                self.skipped += 1
            case NodeReused():
                self.reused.add(event.node)
            case WorkerLost():
                self.busy.pop(event.worker, None)
            case RunFinished():
                self.busy.clear()
                self.finished = event
            case _:
                pass

    def seconds_left(self, now: float) -> float | None:
        """Estimate the remaining time from the mean duration of finished nodes and the number of workers.

        Args:
            now: the time, in seconds since the epoch.

        Returns:
            Seconds; None before the first node has finished.
        """
        if not self.finishes:
            return None
        mean = self.busy_seconds / self.finishes
        waiting = self.total - self.done - self.skipped - len(self.reused) - len(self.failed) - len(self.busy)
        running = [max(0.0, mean - (now - since)) for _, since in self.busy.values()]
        spread = (mean * max(0, waiting) + sum(running)) / max(1, self.workers)
        return max([spread, *running])

    def _remove_busy(self, worker: str, node: str) -> None:
        self.unfinished_lines.pop(node, None)
        if self.busy.get(worker, ("", 0.0))[0] == node:
            del self.busy[worker]


def format_seconds(seconds: float) -> str:
    """Format a duration: 3.2 s, 4 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
