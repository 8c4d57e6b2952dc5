"""Record a session: write its record while it runs, and complete it at the end.

A store that can write a record in parts (`SQLStore`) has the session from the start of its first run, and is brought up to date
by a `LiveRecord` meanwhile; any other store gets the whole record when the session closes.

State: the store until the session is closed, the records of its runs, the running git probe, the live record and the session's
clock. Neighbours: `session.py` reports the start and end of each run, `record.py` builds the record, `earlier_runs.py` reads
from those of earlier sessions, `treadle.observe.store` has the stores.
The module is long because saving a record has to say, for each way in which it can fail, what is lost and what to do.
"""

from __future__ import annotations

import logging
import weakref
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.clock import Clock
from treadle.errors import SessionError, StoreError
from treadle.events import Outcome
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.observe.store import RunRecorder
from treadle.observe.store.liveness import this_process
from treadle.observe.store.log_lines import RunLog
from treadle.secrets import mask_text
from treadle.session.creation import make_store, recorded_env, start_git_probe
from treadle.session.earlier_runs import past_runs, past_seconds
from treadle.session.facts import GitFacts, installed_versions
from treadle.session.interruption import SAVING_SECONDS, signals_wait
from treadle.session.masking import mask_params
from treadle.session.record import is_failure, make_record, masked_run
from treadle.session.running import add_note
from treadle.session.selection import DEFAULT_PIPELINE
from treadle.session.sources import sources_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from treadle.observe.report.report import Report
    from treadle.observe.store import RunRecord, SessionRecord, SessionStore
    from treadle.observe.store.live import LiveRecord
    from treadle.observe.store.liveness import SessionProcess
    from treadle.observe.store.records import ErrorRecord
    from treadle.planning.run_times import RunTimes
    from treadle.project import ConfiguredProject
    from treadle.session.facts import GitProbe
    from treadle.session.record import SessionFacts
    from treadle.session.request import RunRequest
    from treadle.session.resuming import Resumed
    from treadle.session.reusing import Reuse

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
        self.store = store
        """The store, until the session is closed; None if nothing is saved."""
        self._git = git
        self._sources: str | None = None
        self._live: LiveRecord | None = None
        self._process: SessionProcess | None = None
        self._versions: Mapping[str, str] | None = None
        self._reuse: Reuse | None = None
        self._final: SessionRecord | None = None
        self._clock = Clock()
        self._problem: StoreError | None = None  # with the store, when the first run began
        self.saves = store is not None
        """Whether closing saves the record."""
        self.runs: list[RunRecord] = []
        """The runs that have ended, in order."""

    @property
    def can_resume(self) -> bool:
        """Whether a later session can continue this one from its record."""
        if self._live is not None and not self._live.is_in_store:  # for example because the disk is full
            return False
        return self.saves and self._problem is None and hasattr(self.store, "successes_of")

    def past_seconds(self) -> Mapping[str, float]:
        """Return node durations of earlier sessions; empty if the store cannot provide them."""
        return past_seconds(self.store if self._problem is None else None, self._project.package_name)

    def past_runs(self) -> Sequence[RunTimes]:
        """Return the times of earlier runs, the latest first; empty if the store cannot provide them."""
        return past_runs(self.store if self._problem is None else None, self._project.package_name)

    def begin_run(
        self,
        request: RunRequest,
        loaded_versions: Callable[[], Mapping[str, str]] = dict,
        params: Callable[[], Mapping[str, Any]] = dict,
        *,
        needs_store: bool = False,
    ) -> RunRecorder:
        """Return the observer that records the next run, and start git in the background.

        Args:
            request: the arguments of the run.
            loaded_versions: returns the dataset versions that the run loads, by name; called before the first node starts.
            params: returns the params of the run; called before the first node starts.
            needs_store: whether the run is refused if the store is not writable, as far as this can be checked before it.
                Otherwise it goes on with a warning.

        Raises:
            StoreError: the store is not writable, and needed; or its settings are wrong.
        """
        check = getattr(self.store, "check_writable", None)  # optional: a custom store may not have it
        if check is not None and not self.runs:
            try:
                check()
            except StoreError as exc:
                if needs_store or exc.is_misconfigured:
                    self.store = None  # closing the session must not try to save again
                    raise
                self._problem = exc
        if self.store is not None and self._sources is None:
            self._sources = sources_digest(self._project.package_name, self._facts.project_path, self._facts.conf_source)
        if self.store is not None and self._git is None:
            self._git = start_git_probe(self._project, self._facts)
        recorder = RunRecorder(
            self._facts.session_id,
            number=len(self.runs) + 1,
            pipelines=request.pipeline_names or (DEFAULT_PIPELINE,),
            runner=request.runner or "default",
            params=request.given(),
            started=self._clock.now(),
        )
        recorder.records_outputs = self.store is not None
        recorder.log = RunLog(mask_text) if self._project.settings.RECORD_LOGS else None
        recorder.on_first_node = partial(self._record_live, recorder, loaded_versions, params)
        return recorder

    def reuse(
        self, *, skips: bool, resumed: Resumed | None, forced: bool | Collection[str], needs_store: bool = True
    ) -> Reuse | None:
        """Return what decides which nodes of the next run are up to date, and remembers what they depend on.

        Args:
            skips: whether up-to-date nodes are skipped.
            resumed: the session that this one continues, if any: its successful nodes are skipped.
            forced: the nodes that run in any case; True for all.
            needs_store: whether it is an error if the last successes cannot be read; otherwise all nodes run, with a warning.

        Returns:
            The decisions to make; None if all nodes run and nothing is recorded.

        Raises:
            SessionError: nodes shall be skipped, but the store does not know what earlier runs depended on.
        """
        from treadle.session.reusing import Reuse, or_none_known

        store: Any = self.store
        package, env = self._facts.package_name, recorded_env(self._project.settings, self._facts.env)
        if getattr(store, "last_successes", None) is None:  # optional: a custom store may not have it
            if not skips and resumed is None:
                return None
            msg = (
                "Nodes can only be skipped if runs are recorded in Treadle's own store: run without --no-record, and without "
                "SESSION_STORE_CLASS in settings.py."
            )
            raise SessionError(msg, session_id=self._facts.session_id)
        limit = self._project.settings.VALUE_CACHE_SIZE
        common: dict[str, Any] = {"forced": forced, "env": env, "store": store, "max_stored": limit}
        if resumed is not None:
            origin = resumed.session_id
            earlier = recorded_env(self._project.settings, resumed.env)
            self._reuse = Reuse(package, lambda: store.successes_of(origin, earlier), trusting=True, **common)
        else:
            read = partial(store.last_successes, package, env)
            self._reuse = Reuse(package, read if needs_store else or_none_known(read), skips=skips, **common)
        return self._reuse

    def _refresh_successes(self, store: Any) -> None:
        """Keep the contents that were read to decide about the nodes of the last run; without them they are read again."""
        reuse = self._reuse
        successes = reuse.refreshed() if reuse is not None else {}
        if reuse is not None and successes:
            try:
                store.refresh_successes(self._facts.package_name, reuse.env, successes)
            except StoreError as exc:
                _logger.warning("The next run has to read all files of up-to-date nodes again: %s", exc)

    def end_run(self, recorder: RunRecorder, outcome: Outcome, error: ErrorRecord | None) -> None:
        """Add the record of a run that has ended.

        Args:
            recorder: the observer of the run.
            outcome: how the run ended.
            error: the error of the run, with secrets masked.
        """
        record = masked_run(recorder.record(outcome, finished=self._clock.now(), error=error))
        self.runs.append(record)
        if self._live is not None:
            self._live.end_run(record)

    def report(self, before: str | None = None) -> Report:
        """Return the report of the session as it stands.

        Args:
            before: id of an earlier session to compare with.

        Raises:
            StoreError: the earlier session does not exist, or cannot be read.
            SessionError: there is no store from which it could be read.
        """
        from treadle.session.reporting import make_report

        record = self._final if self._final is not None else self._describe()
        if not self.saves:
            return make_report(record, None, before)
        with closing(make_store(self._project.settings, self._facts.project_path)) as store:
            return make_report(record, store, before)

    def save(self) -> None:
        """Save the record as it stands; signals are deferred meanwhile.

        Raises:
            StoreError: the record could not be saved.
        """
        if self.store is not None:
            with signals_wait():
                if self._live is not None:
                    self._live.flush()
                else:
                    self.store.save(self._make_record(None))

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
            store = self.store
            if store is None:
                return
            ends_with = error or waiting.interrupt()
            try:
                with closing(store):
                    if self._live is not None:
                        self._live.stop()
                    record = self._make_record(ends_with)
                    store.save(record)
                    self._refresh_successes(store)
                    self.store = None
                    late = waiting.interrupt(is_final=True) if ends_with is None else None
                    if late is not None:
                        store.save(self._make_record(late))
            except Exception as broken:
                self.store = None
                failed = ends_with is not None and is_failure(ends_with)
                if not failed and not self.runs:
                    raise
                if isinstance(ends_with, StoreError) and str(ends_with) == str(broken):
                    return  # the error that ends the session says already what is wrong with its store
                log = (
                    _logger.error if isinstance(broken, StoreError) else _logger.exception
                )  # the message of a StoreError is sufficient
                succeeded = not failed and self.runs[-1].outcome is Outcome.SUCCEEDED
                hint = " The run itself succeeded, and its outputs are complete." if succeeded else ""
                if self._facts.session_id in getattr(store, "unsaved", ()):  # only that of a service has this
                    hint += " The record is kept in memory, and is saved as soon as that is possible."
                log("The record of session %s could not be saved: %s%s", self._facts.session_id, broken, hint)
                if failed and ends_with is not None:
                    add_note(ends_with, f"The record of this session could not be saved either: {broken}")
            except INTERRUPTS as impatient:
                self.store = None
                session_id = self._facts.session_id
                lost = (
                    f"The record of session {session_id} is lost: saving it had not finished {SAVING_SECONDS:.0f} s after the "
                    "first signal, and another signal interrupted it."
                )
                add_note(impatient, lost)
                raise

    def _record_live(
        self, recorder: RunRecorder, loaded_versions: Callable[[], Mapping[str, str]], params: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Write the rows of the session and of a run, and more while the run goes on, if the store can do that."""
        recorder.note_parameters(mask_params(params()))
        if self._live is None:
            open_writer = getattr(self.store, "live_writer", None)  # optional: a custom store may not have it
            try:
                writer = open_writer(self._facts.session_id) if open_writer is not None else None
            except StoreError as exc:
                _logger.warning("The record of this session is saved when it closes, not while it runs: %s", exc)
                return
            if writer is None:
                if self._problem is not None:
                    _logger.warning("The record of this session is saved when it closes, if that is possible: %s", self._problem)
                return
            from treadle.observe.store.live import LiveRecord  # imported late: not needed if nothing runs

            # Weak: the thread of a session that is never closed ends when the session is deleted.
            describe = weakref.WeakMethod(self._describe)
            self._live = LiveRecord(
                self._facts.session_id,
                writer,
                describe=lambda: method() if (method := describe()) is not None else None,
                mask=masked_run,
            )
        recorder.note_versions(loaded_versions())
        self._live.begin_run(recorder, self._problem)

    def _describe(self) -> SessionRecord:
        """Return the record of the session as it is while it runs."""
        git = self._git.facts_so_far() if self._git is not None else GitFacts()
        if self._process is None:
            self._process, self._versions = this_process(), installed_versions()
        return make_record(
            self._facts_to_record(),
            self.runs,
            git,
            error=None,
            finished=None,
            sources=self._sources,
            process=self._process,
            versions=self._versions,
        )

    def _facts_to_record(self) -> SessionFacts:
        """Return the facts of the session with its environment as records have it."""
        return self._facts._replace(env=recorded_env(self._project.settings, self._facts.env))

    def _make_record(self, error: BaseException | None) -> SessionRecord:
        self._git = self._git or start_git_probe(self._project, self._facts)
        self._final = make_record(
            self._facts_to_record(),
            self.runs,
            self._git.facts(),
            error=error,
            finished=self._clock.now(),
            sources=self._sources,
            process=self._process,
            versions=self._versions,
        )
        return self._final
