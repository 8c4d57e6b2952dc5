"""Record Kedro runs in Treadle's store, for `treadle sessions list` and `show`, if the project enables it.

A project enables it with a `[tool.treadle]` table in its pyproject.toml. State: none.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.clock import Clock
from treadle.errors import TreadleError
from treadle.events import Outcome
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from treadle.events import Observer
    from treadle.kedro.reuse import KedroReuse
    from treadle.kedro.session import SessionInfo
    from treadle.observe.store import SessionRecord, SQLStore
    from treadle.observe.store.live import LiveRecord
    from treadle.observe.store.liveness import SessionProcess
    from treadle.planning.run_times import RunTimes
    from treadle.session.record import SessionFacts

_ARGUMENTS = (
    "tags",
    "node_names",
    "from_nodes",
    "to_nodes",
    "from_inputs",
    "to_outputs",
    "load_versions",
    "namespaces",
    "only_missing_outputs",
)
"""Arguments of Kedro's `session.run` that are recorded if they were given."""

RUN_NUMBER = 1
"""The number of the run in its session: Kedro's sessions have one run."""

_logger = logging.getLogger("kedro.runner.treadle")


class RunRecording(NamedTuple):
    """Observers that record a run, and functions that return the durations of its nodes, and the times of earlier runs."""

    observers: tuple[Observer, ...] = ()
    durations: Callable[[], Mapping[str, float]] = dict
    past_runs: Callable[[], Sequence[RunTimes]] = tuple


def record_folder(package_name: str | None, session: SessionInfo) -> Path | None:
    """Return the folder of the project whose runs are recorded; None if the project has not enabled records.

    Args:
        package_name: the project's package.
        session: the session's configuration and arguments.
    """
    from treadle.project import find_project

    return find_project(session.project_path or Path.cwd()) if package_name is not None else None


@contextmanager
def recorded(
    run_id: str, reuse: KedroReuse | None, session: SessionInfo, params: Callable[[], Mapping[str, Any]] = dict
) -> Iterator[RunRecording]:
    """Record the run inside the `with` block.

    Args:
        run_id: the run's id, which is Kedro's session id.
        reuse: what its nodes depend on, and the store; None if the project has not enabled records.
        session: the session's configuration and arguments.
        params: returns the parameters of the run, nested.

    Yields:
        Observers and durations for the run; none if the project has not enabled records.

    Raises:
        SessionError: the run resumes a session that another one resumes at the same time.
    """
    if reuse is None:
        yield RunRecording()
        return
    from treadle.project.log_capture import logs_captured
    from treadle.session.earlier_runs import past_runs, past_seconds
    from treadle.session.interruption import signals_wait
    from treadle.session.resuming import claimed

    run = _RecordedRun(reuse, run_id, session, params)
    outcome = Outcome.FAILED
    error: BaseException | None = None
    try:
        with claimed(reuse.resumed, reuse.store, run_id), logs_captured(run.recorder.log):
            yield RunRecording(
                (run.recorder,), lambda: past_seconds(run.store, reuse.package), lambda: past_runs(run.store, reuse.package)
            )
        outcome = Outcome.SUCCEEDED
    except INTERRUPTS as exc:  # the latter by a signal handler of the application
        outcome, error = Outcome.INTERRUPTED, exc
        raise
    except Exception as exc:
        error = exc
        raise
    finally:
        with signals_wait(error):  # a second Ctrl-C must not lose the record
            run.complete(outcome, error)


class _RecordedRun:
    """The record of one run: written while it goes on, completed at its end."""

    def __init__(self, reuse: KedroReuse, run_id: str, session: SessionInfo, parameters: Callable[[], Mapping[str, Any]]) -> None:
        from treadle.observe.store.log_lines import RunLog
        from treadle.observe.store.recorder import RunRecorder
        from treadle.secrets import mask_text
        from treadle.session.facts import GitProbe

        params = session.run_params
        self.store = reuse.store
        self._reuse = reuse
        self._git = GitProbe(reuse.root)
        self._clock = Clock()
        self._facts = _facts(run_id, reuse, session)
        self._live: LiveRecord | None = None
        self._process: SessionProcess | None = None
        self._parameters = parameters
        self._environment = dict(os.environ)  # as it is before nodes run in this process, which may change it
        self.recorder = RunRecorder(
            run_id,
            number=RUN_NUMBER,
            pipelines=tuple(params.get("pipeline_names") or [params.get("pipeline_name") or "__default__"]),
            runner="treadle.kedro.ParallelRunner",
            params={name: params[name] for name in _ARGUMENTS if params.get(name)},
            started=self._facts.started,
        )
        self.recorder.on_first_node = self._begin
        self.recorder.records_outputs = True
        self.recorder.log = RunLog(mask_text) if _records_logs() else None
        self.recorder.success_of = partial(reuse.reuse.success, session_id=run_id)
        self.recorder.on_worker = reuse.reuse.worker_started

    def _begin(self) -> None:
        """Write the rows of the run, and more while it goes on."""
        from treadle.observe.store.live import LiveRecord
        from treadle.observe.store.liveness import this_process
        from treadle.session.masking import mask_params
        from treadle.session.record import make_record, masked_run

        self.recorder.note_parameters(mask_params(self._parameters()))
        writer = self.store.live_writer(self._facts.session_id)
        if writer is None:
            return
        self._process = process = this_process()

        def describe() -> SessionRecord:
            git = self._git.facts_so_far()
            return make_record(self._known_facts(), (), git, error=None, finished=None, process=process)

        self._live = LiveRecord(self._facts.session_id, writer, describe=describe, mask=masked_run, logger=_logger)
        self._live.begin_run(self.recorder)

    def complete(self, outcome: Outcome, error: BaseException | None) -> None:
        """Save the whole record; a failure is logged."""
        from treadle.observe.store.records import ErrorRecord
        from treadle.session.record import make_record, masked_run

        finished = self._clock.now()
        error_record = ErrorRecord.from_exception(error) if error is not None else None
        run = masked_run(self.recorder.record(outcome, finished=finished, error=error_record))
        if self._live is not None:
            self._live.stop()
        record = make_record(self._known_facts(), [run], self._git.facts(), error=error, finished=finished, process=self._process)
        _save_record(self.store, record)
        _refresh_successes(self._reuse)

    def _known_facts(self) -> SessionFacts:
        """Return the facts with the environment variables, with all secrets masked that are known by now."""
        from treadle.session.facts import recorded_environment

        return self._facts._replace(environment=recorded_environment(self._environment))


def _records_logs() -> bool:
    """Return the setting RECORD_LOGS of the project, which is True by default."""
    from kedro.framework.project import settings

    return settings.get("RECORD_LOGS", True) is not False


def _facts(run_id: str, reuse: KedroReuse, session: SessionInfo) -> SessionFacts:
    from treadle.session.facts import host_name, user_name
    from treadle.session.record import SessionFacts

    return SessionFacts(
        session_id=run_id,
        project_path=reuse.root,
        package_name=reuse.package,
        env=session.env or os.environ.get("KEDRO_ENV"),
        conf_source=Path(str(getattr(session.loader, "conf_source", reuse.root / "conf"))),
        given_conf_source=None,
        extra_params=session.run_params.get("runtime_params") or {},
        command=f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}".strip(),  # argv[0] may be "python -m kedro"
        started=time.time(),
        user=user_name(),
        host=host_name(),
        pid=os.getpid(),
        environment={},
        resumed_from=reuse.resumed.session_id if reuse.resumed is not None else None,
    )


def _refresh_successes(reuse: KedroReuse) -> None:
    """Keep the contents that were read to decide about the nodes; without them they are read again."""
    successes = reuse.reuse.refreshed()
    if successes:
        try:
            reuse.store.refresh_successes(reuse.package, reuse.reuse.env, successes)
        except TreadleError as exc:
            _logger.warning("The next run has to read all files of up-to-date nodes again: %s", exc)
        finally:
            reuse.store.close()


def _save_record(store: SQLStore, record: SessionRecord) -> None:
    try:
        store.save(record)
    except TreadleError as exc:  # must not replace the run's own outcome
        _logger.warning("The run was not recorded: %s", exc)
    finally:
        store.close()
