"""Write the record of a session to its store while its runs go on.

::

    run loop ── events ──▶ RunRecorder (a queue)
                              │ every 0.2 s
    thread treadle-record ────┴─▶ RecordParts ── one transaction ──▶ the session's rows
                          every 5 s: heartbeat

The rows of the session and of the run are in the store before the first node starts, unless the store does not answer in time.
The thread never raises into the run. What could not be written stays in memory: the thread tries again with the whole record,
and when the session closes, its record is saved as a whole in any case.

The thread ends before a fork and is started again after it (`treadle.forks`), so that no forked child inherits a lock of the
database or its connection. State: the current run, ended runs that are not written yet, and whether writing fails.

Neighbours: `recorder.py` collects the events, `live_writer.py` has the connection; `treadle.session.recording` is the owner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.forks import ForkSafeThread
from treadle.named_tuple import NamedTuple
from treadle.observe.store.parts import RecordParts

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.observe.store.live_writer import LiveWriter
    from treadle.observe.store.recorder import RunRecorder
    from treadle.observe.store.records import RunRecord, SessionRecord

_logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.2
"""How long changes are collected before they are written together."""

HEARTBEAT_SECONDS = 5.0
"""How often the session's row is updated."""

FIRST_HEARTBEAT_SECONDS = 1.0
"""When the session's row is first updated, after its insertion: git has answered by then."""

RETRY_SECONDS = 1.0
"""How long after a failed write the next one is tried, until a warning is logged; then at every heartbeat."""

START_SECONDS = 5.0
"""How long the first node waits at most for the rows of its run."""

STOP_SECONDS = 5.0
"""How long to wait for the thread to end when the session closes."""


class _CurrentRun(NamedTuple):
    recorder: RunRecorder
    is_settled: threading.Event
    """Set when its rows have been written, or a warning says that they cannot be written now."""


class LiveRecord:
    """Write the record of one session while its runs go on.

    Args:
        session_id: the session.
        writer: writes to the store.
        describe: returns the session's record as it is, with the runs that have ended; None if the session no longer exists.
        mask: masks the secrets in the record of a run.
        logger: for the warning that the session is not recorded at present.
    """

    def __init__(
        self,
        session_id: str,
        writer: LiveWriter,
        *,
        describe: Callable[[], SessionRecord | None],
        mask: Callable[[RunRecord], RunRecord],
        logger: logging.Logger = _logger,
    ) -> None:
        self._session_id = session_id
        self._writer = writer
        self._describe = describe
        self._mask = mask
        self._logger = logger
        self._thread = ForkSafeThread(self._work, "treadle-record", writer.forget)
        self._run: _CurrentRun | None = None
        self._ended: deque[RunRecord] = deque()
        self._failures = 0
        self._has_warned = False
        self._next_try = 0.0
        self._next_heartbeat = 0.0
        self.is_in_store = False
        """Whether the session has been written, though perhaps not its newest changes."""

    def begin_run(self, recorder: RunRecorder, problem: Exception | None = None) -> None:
        """Write the rows of a run, and of the session if this is its first run, and go on in the background.

        Returns when the rows are in the store. If the store cannot be written to, or does not answer in time, a warning is logged
        and the run goes on.

        Args:
            recorder: the observer of the run.
            problem: why the store cannot be written to at present, if that is known: then the run does not wait for it.
        """
        has_ended = self._thread.stop(STOP_SECONDS)  # of an earlier run; it would write some seconds later
        run = self._run = _CurrentRun(recorder, threading.Event())
        self._next_try = 0.0
        if problem is not None:
            self._warn(problem)
            _settle(run)
        try:
            self._thread.start()
        except RuntimeError as exc:
            self._warn(
                f"This process may start no more threads ({exc}): raise the limit (`ulimit -u`, or that of the container)."
            )
            return
        if not has_ended or not run.is_settled.wait(START_SECONDS):
            self._warn(f"The session store has not answered for {START_SECONDS:.0f} s.")

    def end_run(self, run: RunRecord) -> None:
        """Complete the rows of a run that has ended, in the background.

        Args:
            run: its record, with secrets masked.
        """
        self._ended.append(run)
        self._run = None

    def flush(self) -> None:
        """Write what has not been written yet.

        Raises:
            StoreError: it could not be written.
        """
        if not self._thread.stop(STOP_SECONDS):
            self._thread.start()  # when it has ended
            msg = (
                f"The record of session {self._session_id} cannot be saved: its store has not answered for {STOP_SECONDS:.0f} s."
            )
            raise StoreError(msg)
        try:
            self._write(is_heartbeat=True)
        finally:
            self._writer.close()
            self._thread.start()

    def stop(self) -> None:
        """End the thread, so that the caller can save the whole record."""
        if not self._thread.stop(STOP_SECONDS):  # it is waiting for a server that does not answer, or a slow disk
            self._writer.abandon()
            self._has_warned = True  # what it could not write is saved by the caller

    # --- in the thread ---------------------------------------------------------------------------------------------------

    def _work(self, ending: threading.Event) -> None:
        """Write until the event is set, or the session no longer exists."""
        try:
            while self._try_to_write():
                if ending.wait(INTERVAL_SECONDS if self._run is not None or self._ended else HEARTBEAT_SECONDS):
                    break
        finally:
            self._writer.close()

    def _try_to_write(self) -> bool:
        """Write what is due; return False if the session no longer exists."""
        now = time.monotonic()
        if now < self._next_try:
            return True
        run = self._run
        try:
            exists = self._write(is_heartbeat=now >= self._next_heartbeat)
        except Exception as exc:  # noqa: BLE001 - nothing that goes wrong here may end the thread or the run
            self._failures += 1
            self._next_try = time.monotonic() + (HEARTBEAT_SECONDS if self._has_warned else RETRY_SECONDS)
            if self._failures > 1:  # a store that many processes use may be locked for a second
                self._warn(exc)
                _settle(run)
            return True
        self._failures = 0
        _settle(run)
        return exists

    def _write(self, *, is_heartbeat: bool) -> bool:
        """Write what has changed; return False if the session no longer exists."""
        is_whole = self._writer.needs_whole
        parts = RecordParts()
        run = self._run
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        if run is not None:
            run.recorder.sample_memory()
            if is_heartbeat:
                run.recorder.publish_memory()
            changes = run.recorder.changes(everything=is_whole)
            parts.add_changes(changes._replace(run=self._mask(changes.run)))
        if is_whole or is_heartbeat or ended:
            session = self._describe()
            if session is None:
                return False
            parts.add_session(session if is_whole else session._replace(runs=()))
            self._next_heartbeat = time.monotonic() + (FIRST_HEARTBEAT_SECONDS if is_whole else HEARTBEAT_SECONDS)
        for record in ended:
            parts.add_run(record)
        try:
            self._writer.write(parts, is_whole=is_whole)
        except BaseException:
            self._writer.forget()  # the next write has to be of the whole record, because these changes are not returned again
            raise
        self.is_in_store = True
        return True

    def _warn(self, cause: object) -> None:
        """Log once that the session is not recorded at present."""
        if self._has_warned:
            return
        self._has_warned = True
        text = str(cause)
        self._logger.warning(
            "The record of session %s is not up to date in its store: %s The run continues. The record is kept in memory, and is "
            "written as soon as that is possible, at the latest when the session closes.",
            self._session_id,
            text if text.endswith((".", "?")) else f"{text}.",
            exc_info=cause if isinstance(cause, Exception) and not isinstance(cause, StoreError) else None,
        )


def _settle(run: _CurrentRun | None) -> None:
    if run is not None:
        run.is_settled.set()
