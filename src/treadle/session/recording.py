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
from treadle.session.facts import answer_of
from treadle.session.record import is_failure, make_record, masked_run
from treadle.session.running import add_note
from treadle.session.selection import DEFAULT_PIPELINE

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
        """Return the observer that writes the next run down; git is asked meanwhile."""
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
        """Write the record as it stands.

        Raises:
            StoreError: it could not be written.
        """
        if self._store is not None:
            record, interrupt = self._make_record(None)
            self._store.save(record)
            if interrupt is not None:
                raise interrupt

    def close(self, error: BaseException | None) -> None:
        """Write the record for the last time and close the store; closing twice is fine.

        Args:
            error: what the session ends with. It carries a note where the record cannot be written.

        Raises:
            StoreError: it could not be written, and nothing else is wrong.
        """
        store, self._store = self._store, None
        if store is None:
            return
        record, interrupt = self._make_record(error)
        try:
            with closing(store):
                store.save(record)
        except Exception as broken:
            failed = error or interrupt
            if failed is None or not is_failure(failed):
                if self.runs and self.runs[-1].outcome is Outcome.SUCCEEDED:
                    add_note(broken, "The run itself succeeded: what its nodes saved is there.")
                raise
            tell = _logger.error if isinstance(broken, StoreError) else _logger.exception  # its text says it all
            tell("The record of session %s could not be kept: %s", self._facts.session_id, broken)
            add_note(failed, f"The record of this session could not be kept either: {broken}")
        if interrupt is not None and error is None:
            raise interrupt

    def _make_record(self, error: BaseException | None) -> tuple[SessionRecord, KeyboardInterrupt | None]:
        self._git = self._git or start_git_probe(self._project, self._facts)
        git, interrupt = answer_of(self._git)
        return make_record(self._facts, self.runs, git, error=error or interrupt, finished=time.time()), interrupt
