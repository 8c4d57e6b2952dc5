"""What is kept of a session: its runs as they end, its record in the store, and what earlier records say.

State: the store until the session is closed, the records of its runs, git's answer that is on its way. Neighbours:
`session.py` tells it what happens, `record.py` makes the record, `treadle.observe.store` has the stores.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.events import Outcome
from treadle.observe.store import RunRecorder
from treadle.session.creation import start_git_probe
from treadle.session.interruption import SAVING_SECONDS, signals_wait
from treadle.session.record import is_failure, make_record, masked_run
from treadle.session.running import add_note
from treadle.session.selection import DEFAULT_PIPELINE
from treadle.session.sources import sources_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.observe.store import RunRecord, SessionRecord, SessionStore
    from treadle.observe.store.records import ErrorRecord
    from treadle.project import ConfiguredProject
    from treadle.session.facts import GitProbe
    from treadle.session.record import SessionFacts
    from treadle.session.request import RunRequest

_logger = logging.getLogger(__name__)


class Recording:
    """Keeps what there is to know of one session.

    Args:
        facts: the session's.
        project: the configured project.
        store: where the record goes; None keeps none.
        git: git's answer, where it was asked already.
    """

    def __init__(
        self, facts: SessionFacts, project: ConfiguredProject, store: SessionStore | None, git: GitProbe | None = None
    ) -> None:
        self._facts = facts
        self._project = project
        self._store = store
        self._git = git
        self._sources: str | None = None
        self.saves = store is not None
        """Whether closing writes the record."""
        self.runs: list[RunRecord] = []
        """Those that have ended, in order."""

    def past_seconds(self) -> Mapping[str, float]:
        """Return what nodes took in earlier sessions, where the store can say; a run does not fail for want of it."""
        durations = getattr(self._store, "durations", None)
        if durations is None:
            return {}
        try:
            known: Mapping[str, float] = durations()
        except StoreError as exc:
            _logger.warning("What nodes took in earlier sessions is not known: %s", exc)
            return {}
        return known

    def begin_run(self, request: RunRequest) -> RunRecorder:
        """Return the observer that records the next run; git is asked meanwhile.

        Raises:
            StoreError: the record of the session cannot be written, as far as that can be known before the run.
        """
        check = getattr(self._store, "check_writable", None)  # a store of the project's own need not have it
        if check is not None and not self.runs:
            try:
                check()
            except StoreError:
                self._store = None  # closing the session does not try it again
                raise
        if self._store is not None and self._sources is None:
            self._sources = sources_digest(self._project.package_name, self._facts.project_path, self._facts.conf_source)
        if self._store is not None and self._git is None:
            self._git = start_git_probe(self._project, self._facts)
        return RunRecorder(
            self._facts.session_id,
            number=len(self.runs) + 1,
            pipelines=request.pipeline_names or (DEFAULT_PIPELINE,),
            runner=request.runner or "default",
            params=request.given(),
            started=time.time(),
        )

    def end_run(self, recorder: RunRecorder, outcome: Outcome, error: ErrorRecord | None) -> None:
        """Keep a run that has ended.

        Args:
            recorder: has seen it.
            outcome: how it ended.
            error: what it raised, without the session's secrets.
        """
        record = recorder.record(outcome, finished=time.time(), error=error)
        self.runs.append(masked_run(record))

    def save(self) -> None:
        """Write the record as it stands. A signal waits until it is written.

        Raises:
            StoreError: it could not be written.
        """
        if self._store is not None:
            with signals_wait():
                self._store.save(self._make_record(None))

    def close(self, error: BaseException | None) -> None:
        """Write the record for the last time and close the store; closing twice is fine.

        A signal waits until that is done, and then makes the session an interrupted one.

        Args:
            error: what the session ends with. It carries a note where the record cannot be written.

        Raises:
            StoreError: it could not be written, and nothing ran. After a run that is logged, because a run does not fail for it.
            KeyboardInterrupt: a signal arrived meanwhile, and nothing else is wrong.
        """
        with signals_wait(error, last=True) as waiting:
            store = self._store
            if store is None:
                return
            ends_with = error or waiting.interrupt()
            try:
                with closing(store):
                    record = self._make_record(ends_with)
                    store.save(record)
                    self._store = None
                    late = waiting.interrupt(is_final=True) if ends_with is None else None
                    if late is not None:
                        store.save(self._make_record(late))
            except Exception as broken:
                self._store = None
                failed = ends_with is not None and is_failure(ends_with)
                if not failed and not self.runs:
                    raise
                log = _logger.error if isinstance(broken, StoreError) else _logger.exception  # its text says it all
                succeeded = not failed and self.runs[-1].outcome is Outcome.SUCCEEDED
                hint = " The run itself succeeded: what its nodes saved is complete." if succeeded else ""
                log("The record of session %s could not be saved: %s%s", self._facts.session_id, broken, hint)
                if failed and ends_with is not None:
                    add_note(ends_with, f"The record of this session could not be saved either: {broken}")
            except KeyboardInterrupt as impatient:
                self._store = None
                session_id = self._facts.session_id
                lost = (
                    f"The record of session {session_id} is lost: it was not saved {SAVING_SECONDS:.0f} s after the first signal."
                )
                add_note(impatient, lost)
                raise

    def _make_record(self, error: BaseException | None) -> SessionRecord:
        self._git = self._git or start_git_probe(self._project, self._facts)
        return make_record(self._facts, self.runs, self._git.facts(), error=error, finished=time.time(), sources=self._sources)
