"""Numbers about the runs of a server, for Prometheus. State: the numbers since the server started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 150, 300, 600, 1800, 3600, 7200, 21600, 86400)
"""Seconds: a run takes from milliseconds to hours."""


class Metrics:
    """The numbers of one server.

    Args:
        queued: returns how many runs wait.
        running: returns how many runs are running.
    """

    def __init__(self, queued: Callable[[], int], running: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._accepted = Counter("treadle_runs_accepted", "Runs that were accepted.", registry=self._registry)
        self._refused = Counter("treadle_runs_refused", "Runs that were refused: the queue was full.", registry=self._registry)
        self._ended = Counter("treadle_runs_ended", "Runs that have ended, by state.", ["state"], registry=self._registry)
        self._seconds = Histogram(
            "treadle_run_seconds", "How long runs took, without waiting.", registry=self._registry, buckets=_BUCKETS
        )
        Gauge("treadle_runs_queued", "Runs that wait.", registry=self._registry).set_function(queued)
        Gauge("treadle_runs_running", "Runs that are running.", registry=self._registry).set_function(running)
        for state in ("succeeded", "failed", "cancelled", "interrupted"):
            self._ended.labels(state)

    def accepted(self) -> None:
        """Count an accepted run."""
        self._accepted.inc()

    def refused(self) -> None:
        """Count a refused run."""
        self._refused.inc()

    def ended(self, state: str, seconds: float | None) -> None:
        """Count a run that has ended.

        Args:
            state: how it ended.
            seconds: how long it took; None if it had not started.
        """
        self._ended.labels(state).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Return the numbers in the text format of Prometheus."""
        return generate_latest(self._registry)
