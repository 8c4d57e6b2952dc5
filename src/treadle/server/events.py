"""The events of runs as numbered lines in files, from which any number of clients read at their own speed.

::

    the run's thread ── event ──▶ queue ──▶ writer thread ── line n ──▶ ID.jsonl ──▶ reader of each client
                                                          └─ wake ───▶ clients that wait

The thread of the run only puts each event into a queue, so neither the disk nor a slow client delays it. Clients see only what
was written, and the number of a line is its id: a client that comes back after a restart of the server, or after a kill,
continues where it was. State: the files of the runs, the queue, and who waits for a run.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from treadle.events import NodeFailed, NodeFinished, NodeReused, NodeSkipped, NodeStarted, RunStarted, WorkerLost, WorkerStarted
from treadle.forks import fork_safe
from treadle.server.problems import public_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from treadle.events import Event

_logger = logging.getLogger(__name__)

ENDED = "run_ended"
"""Type of the last event of a run."""
_NAMES = {
    RunStarted: "run_started",
    WorkerStarted: "worker_started",
    NodeStarted: "node_started",
    NodeFinished: "node_finished",
    NodeFailed: "node_failed",
    NodeSkipped: "node_skipped",
    NodeReused: "node_reused",
    WorkerLost: "worker_lost",
}
_FIELDS = ("node", "worker", "attempt", "started", "final", "exitcode", "start_method", "workers")
_CHUNK = 1 << 16
_BATCH_SECONDS = 0.02
"""How long events are collected before they are written together."""


class EventLogs:
    """The files of all runs, and the thread that writes them.

    Args:
        folder: where the files are; it is created, readable by this user only.
        debug: whether messages of errors contain paths of this machine.
    """

    def __init__(self, folder: Path, *, debug: bool = False) -> None:
        _make_folder(folder)
        self._folder = folder
        self._debug = debug
        self._queue: SimpleQueue[tuple[str, Event | dict[str, Any]] | None] = SimpleQueue()
        self._lock = fork_safe(threading.Lock())
        self._waiting: dict[str, set[Callable[[], None]]] = {}
        self._counts: dict[str, int] = {}  # lines in the file of each run that has not ended
        self._begun: set[str] = set()  # runs whose last event is not written yet
        self._closing = threading.Event()
        self.is_closed = False
        """Whether no more events follow, because the server ends."""
        self._thread = threading.Thread(target=self._write_all, name="treadle-server-events", daemon=True)
        self._thread.start()

    def begin(self, run_id: str, **facts: Any) -> None:
        """Begin the file of a run that was accepted.

        Args:
            run_id: the run.
            **facts: of its first event.
        """
        self._begun.add(run_id)
        self._queue.put((run_id, {"type": "run_queued", "at": time.time(), **facts}))

    def observer(self, run_id: str) -> Callable[[Event], None]:
        """Return the observer of a run."""
        put = self._queue.put
        return lambda event: put((run_id, event))

    def end(self, run_id: str, **facts: Any) -> None:
        """Write the last event of a run.

        Args:
            run_id: the run.
            **facts: of the event.
        """
        self._queue.put((run_id, {"type": ENDED, "at": time.time(), **facts}))

    def exists(self, run_id: str) -> bool:
        """Return whether a run has events."""
        return run_id in self._begun or self._file(run_id).exists()

    def has_ended(self, run_id: str) -> bool:
        """Return whether the last event of a run that an earlier server ran was written."""
        return any(facts["type"] == ENDED for _line, facts in self.read(run_id).events())

    def read(self, run_id: str) -> Reader:
        """Return a reader of the events of a run, from the first one."""
        return Reader(self._file(run_id))

    def subscribe(self, run_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call a function whenever events of a run were written, in the thread that writes them.

        Args:
            run_id: the run.
            wake: the function.

        Returns:
            Ends that.
        """
        with self._lock:
            self._waiting.setdefault(run_id, set()).add(wake)

        def end() -> None:
            with self._lock:
                callbacks = self._waiting.get(run_id, set())
                callbacks.discard(wake)
                if not callbacks:
                    self._waiting.pop(run_id, None)

        return end

    def forget(self, *, before: float) -> None:
        """Remove the files of runs that were last written before a time, in seconds since the epoch."""
        for file in self._folder.glob("*.jsonl"):
            if file.stat().st_mtime < before and file.stem not in self._counts:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Write what is queued, and wake everyone who waits."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        self.is_closed = True
        with self._lock:
            callbacks = [wake for each in self._waiting.values() for wake in each]
        for wake in callbacks:
            wake()

    def _file(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.jsonl"

    # --- in the thread ---------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        item = self._queue.get()
        while item is not None:
            self._closing.wait(_BATCH_SECONDS)  # tiny nodes end by the dozen; one write for all of them
            run_id, batch, item = item[0], [item[1]], self._waiting_item()
            while item is not None and item is not _NOTHING and item[0] == run_id:
                batch.append(item[1])
                item = self._waiting_item()
            self._write(run_id, batch)
            if item is _NOTHING:
                item = self._queue.get()

    def _waiting_item(self) -> Any:
        return _NOTHING if self._queue.empty() else self._queue.get()

    def _write(self, run_id: str, events: list[Event | dict[str, Any]]) -> None:
        facts = [each for event in events if (each := self._facts(event)) is not None]
        if not facts:
            return
        try:
            self._append(run_id, facts)
        except OSError:
            self._counts.pop(run_id, None)  # a part may be written: count the lines again
            _logger.exception("The events of run %s cannot be written to %s.", run_id, self._folder)
        if facts[-1]["type"] == ENDED:
            self._counts.pop(run_id, None)
            self._begun.discard(run_id)
        with self._lock:
            callbacks = list(self._waiting.get(run_id, ()))
        for wake in callbacks:
            wake()

    def _append(self, run_id: str, facts: list[dict[str, Any]]) -> None:
        number, start = self._counts.get(run_id), b""
        if number is None:
            _make_folder(self._folder)  # which someone may have removed
            number = sum(1 for _ in self.read(run_id).events())
            start = b"\n" if _ends_within_a_line(self._file(run_id)) else b""
        lines = [json.dumps({"id": number + place, **each}) for place, each in enumerate(facts, start=1)]
        descriptor = os.open(self._file(run_id), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:  # buffered, so that a write of a part is continued
            file.write(start + "".join(f"{line}\n" for line in lines).encode("ascii"))
        self._counts[run_id] = number + len(lines)

    def _facts(self, event: Event | dict[str, Any]) -> dict[str, Any] | None:
        if isinstance(event, dict):
            return event
        name = _NAMES.get(type(event))
        if name is None:
            return None
        facts: dict[str, Any] = {"type": name, "at": event.at}
        facts |= {field: value for field in _FIELDS if (value := getattr(event, field, None)) is not None}
        if isinstance(event, RunStarted):
            facts["nodes"] = list(event.nodes)
        elif isinstance(event, NodeFailed):
            message = public_text(event.failure.message, debug=self._debug)
            facts["error"] = {"type": event.failure.type_name.rpartition(".")[2], "message": message}
        return facts


_NOTHING: Any = object()


class Reader:
    """Reads the lines of a file that another thread is writing.

    Args:
        file: the file; it may not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines that have been written since the last call, and the event in each.

        A line that is no event is what a server wrote before it was killed or the disk was full; it is left out.
        """
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                rest = b""
                while chunk := file.read(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._offset += len(line) + 1
                        if (facts := _event_in(line)) is not None:
                            yield line.decode(), facts
        except FileNotFoundError:
            return


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _event_in(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line; None if the line is broken."""
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and "type" in facts else None


def _ends_within_a_line(path: Path) -> bool:
    """Return whether a file exists and its last line has no end."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False
