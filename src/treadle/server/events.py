"""The events of runs as numbered lines in files, from which any number of clients read at their own speed.

::

    the run's thread ── event ──▶ queue ──▶ writer thread ── line n ──▶ ID.jsonl ──▶ reader of each client
                                                          └─ wake ───▶ clients that wait

The thread of the run only puts each event into a queue, so neither the disk nor a slow client delays it. Clients see only what
was written, and the number of a line is its id: a client that comes back after a restart of the server, or after a kill,
continues where it was. Events that cannot be written, because the disk is full, are kept and written later. State: the files of
the runs, the queue, the events that could not be written, and who waits for a run.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from treadle.errors import ServerError
from treadle.events import NodeFailed, NodeFinished, NodeReused, NodeSkipped, NodeStarted, RunStarted, WorkerLost, WorkerStarted
from treadle.forks import fork_safe
from treadle.observe.store.file import make_private_folder
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
_RETRY_SECONDS = 1.0
"""How long the writer waits, if nothing else happens, before it tries again to write what it could not write."""
_MOST_UNWRITTEN = 100_000
"""How many events are kept in memory at most because they cannot be written; then those of the oldest run are given up."""


class EventLogs:
    """The files of all runs, and the thread that writes them.

    Args:
        folder: where the files are; it is created, readable by this user only.
        debug: whether messages of errors contain paths of this machine.

    Raises:
        ServerError: the folder cannot be created.
    """

    def __init__(self, folder: Path, *, debug: bool = False) -> None:
        try:
            make_private_folder(folder)
        except OSError as exc:
            msg = (
                f"The server keeps the events of runs in {folder}, which cannot be created: {exc.strerror or exc}. Check whether "
                "this user may write there, and whether a file is in its place."
            )
            raise ServerError(msg) from exc
        self._folder = folder
        self._debug = debug
        self._queue: SimpleQueue[tuple[str, Event | dict[str, Any]] | threading.Event | None] = SimpleQueue()
        self._lock = fork_safe(threading.Lock())
        self._waiting: dict[str, set[Callable[[], None]]] = {}
        self._counts: dict[str, int] = {}  # lines in the file of each run that has not ended
        self._begun: set[str] = set()  # runs whose last event is not written yet
        self._unwritten: dict[str, list[dict[str, Any]]] = {}  # events that could not be written, by run
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

    def end_streams(self) -> None:
        """Write what is queued, and let all streams end, because the server ends. Events are still accepted."""
        written = threading.Event()
        self._queue.put(written)
        while not written.wait(1.0) and self._thread.is_alive():  # an error of its own may have ended it
            pass
        self._wake_all()

    def close(self) -> None:
        """Write what is queued, and wake everyone who waits."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        self._wake_all()

    def _wake_all(self) -> None:
        self.is_closed = True
        with self._lock:
            callbacks = [wake for each in self._waiting.values() for wake in each]
        for wake in callbacks:
            wake()

    def _file(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.jsonl"

    # --- in the thread ---------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        item = self._next_item()
        while item is not None:
            if item is _NOTHING:
                self._write_unwritten()
                item = self._next_item()
            elif isinstance(item, threading.Event):
                item.set()
                item = self._next_item()
            else:
                self._closing.wait(_BATCH_SECONDS)  # tiny nodes end by the dozen; one write for all of them
                run_id, batch, item = item[0], [item[1]], self._waiting_item()
                while isinstance(item, tuple) and item[0] == run_id:
                    batch.append(item[1])
                    item = self._waiting_item()
                if self._write(run_id, batch):
                    self._write_unwritten()
                if item is _NOTHING:
                    item = self._next_item()
        self._write_unwritten()
        for run_id, facts in self._unwritten.items():
            _logger.error("%d events of the run %s are lost, because they could not be written.", len(facts), run_id)

    def _next_item(self) -> Any:
        try:
            return self._queue.get(timeout=_RETRY_SECONDS if self._unwritten else None)
        except Empty:
            return _NOTHING  # it is time to try again to write what could not be written

    def _waiting_item(self) -> Any:
        return _NOTHING if self._queue.empty() else self._queue.get()

    def _write_unwritten(self) -> None:
        for run_id in list(self._unwritten):
            if not self._write(run_id, []):
                return

    def _write(self, run_id: str, events: list[Event | dict[str, Any]]) -> bool:
        """Write events of a run after those that could not be written before; return False if they cannot be written."""
        earlier = self._unwritten.pop(run_id, [])
        facts = [*earlier, *(each for event in events if (each := self._facts(event)) is not None)]
        if not facts:
            return True
        try:
            self._append(run_id, facts)
        except OSError as exc:
            self._counts.pop(run_id, None)  # the folder may have been removed: count the lines again
            self._unwritten[run_id] = facts
            if not earlier:
                _logger.error(  # noqa: TRY400 - the traceback says no more than the message
                    "The events of the run %s cannot be written: %s. They are kept, and written as soon as that is possible.",
                    *(run_id, exc),
                )
            self._give_up_oldest()
            return False
        if facts[-1]["type"] == ENDED:
            self._counts.pop(run_id, None)
            self._begun.discard(run_id)
        with self._lock:
            callbacks = list(self._waiting.get(run_id, ()))
        for wake in callbacks:
            wake()
        return True

    def _give_up_oldest(self) -> None:
        """Give up events of the runs that have waited longest, except how these runs ended, if too many cannot be written."""
        total = sum(len(facts) for facts in self._unwritten.values())
        for run_id, facts in self._unwritten.items():
            if total <= _MOST_UNWRITTEN:
                return
            if len(facts) > 1:
                _logger.error("%d events of the run %s are given up: too many could not be written.", len(facts) - 1, run_id)
                total -= len(facts) - 1
                del facts[:-1]

    def _append(self, run_id: str, facts: list[dict[str, Any]]) -> None:
        """Append events to the file of their run: all of them, or none if that fails."""
        number, file = self._counts.get(run_id), self._file(run_id)
        if number is None:
            make_private_folder(self._folder)  # which someone may have removed
            number = self._count_whole_lines(run_id)
        lines = [json.dumps({"id": number + place, **each}) for place, each in enumerate(facts, start=1)]
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                while content:
                    content = content[os.write(descriptor, content) :]
            except OSError:
                os.ftruncate(descriptor, size)  # so that the next attempt repeats no event
                raise
        finally:
            os.close(descriptor)
        self._counts[run_id] = number + len(lines)

    def _count_whole_lines(self, run_id: str) -> int:
        """Return the number of events in a file, and remove what a server wrote of its last line before it was killed."""
        reader = self.read(run_id)
        number = sum(1 for _ in reader.events())
        with suppress(FileNotFoundError):
            os.truncate(self._file(run_id), reader.offset)
        return number

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
    """Reads the lines of a file that another thread is writing; `offset` is the end of the last whole line that was read.

    Args:
        file: the file; it may not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.offset = 0

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines that have been written since the last call, and the event in each.

        A line that is no event is what a server wrote before it was killed or the disk was full; it is left out.
        """
        try:
            with self._file.open("rb") as file:
                file.seek(self.offset)
                rest = b""
                while chunk := file.read(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self.offset += len(line) + 1
                        if (facts := _event_in(line)) is not None:
                            yield line.decode(), facts
        except FileNotFoundError:
            return


def _event_in(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line; None if the line is broken."""
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and "type" in facts else None
