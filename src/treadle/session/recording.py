"""Record a session: collect its runs as they end, save its record in the store, and read durations from earlier records.

State: the store until the session is closed, the records of its runs, and the running git probe. Neighbours: `session.py`
reports the start and end of each run, `record.py` builds the record, `treadle.observe.store` has the stores.
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
    """The recorder of one session.

    Args:
        facts: the facts of the session.
        project: the configured project.
        store: the store of the record; None to save nothing.
        git: a git probe that was already started, if any.
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
        """Whether closing saves the record."""
        self.runs: list[RunRecord] = []
        """The runs that have ended, in order."""

    def past_seconds(self) -> Mapping[str, float]:
        """Return node durations of earlier sessions; empty if the store cannot provide them, which does not fail the run."""
        durations = getattr(self._store, "durations", None)
        if durations is None:
            return {}
        try:
            known: Mapping[str, float] = durations()
        except StoreError as exc:
            _logger.warning("Node durations of earlier sessions cannot be read, so nodes are scheduled without them: %s", exc)
            return {}
        return known

    def begin_run(self, request: RunRequest) -> RunRecorder:
        """Return the observer that records the next run, and start git in the background.

        Raises:
            StoreError: the store is not writable, as far as this can be checked before the run.
        """
        check = getattr(self._store, "check_writable", None)  # optional: a custom store may not have it
        if check is not None and not self.runs:
            try:
                check()
            except StoreError:
                self._store = None  # closing the session must not try to save again
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
        """Add the record of a run that has ended.

        Args:
            recorder: the observer of the run.
            outcome: how the run ended.
            error: the error of the run, with secrets masked.
        """
        record = recorder.record(outcome, finished=time.time(), error=error)
        self.runs.append(masked_run(record))

    def save(self) -> None:
        """Save the record as it stands; signals are deferred meanwhile.

        Raises:
            StoreError: the record could not be saved.
        """
        if self._store is not None:
            with signals_wait():
                self._store.save(self._make_record(None))

    def close(self, error: BaseException | None) -> None:
        """Save the final record and close the store; closing twice has no effect.

        Signals are deferred meanwhile; a deferred signal makes the session an interrupted one.

        Args:
            error: the exception that ends the session, if any. It gets a note if the record cannot be saved.

        Raises:
            StoreError: the record could not be saved, and nothing ran. After a run this is logged, as it does not fail the run.
            KeyboardInterrupt: a signal was deferred, and no other error is propagating.
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
                log = (
                    _logger.error if isinstance(broken, StoreError) else _logger.exception
                )  # the message of a StoreError is sufficient
                succeeded = not failed and self.runs[-1].outcome is Outcome.SUCCEEDED
                hint = " The run itself succeeded, and its outputs are complete." if succeeded else ""
                log("The record of session %s could not be saved: %s%s", self._facts.session_id, broken, hint)
                if failed and ends_with is not None:
                    add_note(ends_with, f"The record of this session could not be saved either: {broken}")
            except KeyboardInterrupt as impatient:
                self._store = None
                session_id = self._facts.session_id
                lost = (
                    f"The record of session {session_id} is lost: saving it had not finished {SAVING_SECONDS:.0f} s after the "
                    "first signal, and another signal interrupted it."
                )
                add_note(impatient, lost)
                raise

    def _make_record(self, error: BaseException | None) -> SessionRecord:
        self._git = self._git or start_git_probe(self._project, self._facts)
        return make_record(self._facts, self.runs, self._git.facts(), error=error, finished=time.time(), sources=self._sources)
