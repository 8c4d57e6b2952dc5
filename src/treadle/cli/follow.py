"""Print what happens in a running session of another process, as it happens.

The session's record is read again and again, at most twice a second, because a database does not notify its readers.
State: what has been printed. Neighbours: `sessions.py` has the command, `treadle.observe.store.live` writes the record.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from treadle.exits import describe_exit
from treadle.observe.store.records import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.observe.store import NodeRecord, RunRecord, SessionRecord, SessionStore, WorkerRecord

POLL_SECONDS = 0.5
"""How often the record is read."""

_SHARE = 0.1
"""Reading takes at most this part of the time: the record of a large run is read less often."""


def follow_session(store: SessionStore, session_id: str) -> Iterator[str]:
    """Yield a line for each thing that happened in a session, then for each that happens, until the session has ended.

    Args:
        store: has the session.
        session_id: its id, or a unique prefix of it.

    Raises:
        StoreError: the session does not exist, or the store cannot be read.
    """
    followed = _Followed()
    while True:
        started = time.monotonic()
        record = store.load(session_id)
        session_id = record.session_id
        yield from followed.news(record)
        if record.state is not SessionState.RUNNING:
            yield _last_line(record)
            return
        time.sleep(max(POLL_SECONDS, (time.monotonic() - started) / _SHARE))


class _Followed:
    """What has been printed of a session."""

    def __init__(self) -> None:
        self._printed: set[tuple[object, ...]] = set()

    def news(self, record: SessionRecord) -> list[str]:
        """Return the lines about what has not been printed yet, by time."""
        events: list[tuple[float, tuple[object, ...], str]] = []
        if not self._printed:
            events.append(
                (record.started, ("session",), f"session {record.session_id}: {record.command or '(made by a program)'}")
            )
        for run in record.runs:
            events += _run_events(run)
        new = sorted((event for event in events if event[1] not in self._printed), key=lambda event: event[0])
        self._printed.update(key for _at, key, _text in new)
        return [f"{_clock(at)}  {text}" for at, _key, text in new]


def _run_events(run: RunRecord) -> Iterator[tuple[float, tuple[object, ...], str]]:
    method = f" ({run.start_method})" if run.start_method else ""
    if run.node_count is not None:
        yield run.started, (run.number, "start"), f"run {run.number} of {run.node_count} nodes, {run.runner}{method}"
    for worker in run.workers:
        yield from _worker_events(run.number, worker)
    for node in run.nodes:
        yield from _node_events(run.number, node)
    if run.outcome is not None and run.finished is not None:
        seconds = run.finished - run.started
        yield run.finished, (run.number, "end"), f"run {run.number} {run.outcome.value} after {seconds:.2f} s"


def _node_events(number: int, node: NodeRecord) -> Iterator[tuple[float, tuple[object, ...], str]]:
    name = node.node + (f" (attempt {node.attempt})" if node.attempt > 1 else "")
    key = (number, node.node, node.attempt)
    if node.started is None:
        return
    if node.outcome is None:
        yield node.started, (*key, "start"), f"… {name} started on {node.worker}"
    elif node.finished is not None:
        error = f": {node.error.type_name}: {node.error.message}" if node.error is not None else ""
        took = f"{node.finished - node.started:.3f} s on {node.worker}"
        again = " (is attempted again)" if node.retried else ""
        yield node.finished, (*key, "end"), f"{node.outcome.symbol} {name} {node.outcome.value}, {took}{error}{again}"


def _worker_events(number: int, worker: WorkerRecord) -> Iterator[tuple[float, tuple[object, ...], str]]:
    if worker.lost is not None:
        text = f"! {worker.worker} (pid {worker.pid}) {describe_exit(worker.exitcode)}"
        yield worker.lost, (number, worker.worker, worker.pid, "lost"), text


def _last_line(record: SessionRecord) -> str:
    if record.state is SessionState.LOST:
        return "The session is lost: its process is gone and did not complete its record."
    return f"The session has ended: {record.outcome.value if record.outcome else 'nothing ran'}."


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).astimezone().strftime("%H:%M:%S")
