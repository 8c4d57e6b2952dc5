"""A session: the life of one run, from its configuration to its record.

::

    create ── facts, hooks: on_session_created
      run ── pipelines selected ── context: config, params, catalog ── before_pipeline_run
               └─▶ Runner.run ── events ──▶ recorder, the caller's observers
             after_pipeline_run | on_pipeline_error
    close ── record ──▶ store

State: the facts of the session, its context once created, whether it is running or closed. The configured project
(`treadle.project.configure`) is state of the process, read when a session is created.

The module is long because `create` and `run` document each of their many arguments here, where users look for them.

Neighbours: `creation.py` creates the parts, `context.py` is the project as a run uses it, `request.py` holds the arguments of
a run, `recording.py` saves the record.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from treadle.errors import RunCancelledError
from treadle.events import Outcome
from treadle.execution.processes.safe_points import INTERRUPTS, is_interrupt
from treadle.execution.processes.spare_descriptors import spare_descriptors
from treadle.execution.runners.choice import choose_runner
from treadle.forks import fork_safe
from treadle.project.log_capture import logs_captured
from treadle.secrets import masked_exception, register_secrets
from treadle.session.context import Context
from treadle.session.creation import (
    check_kinds,
    choose_env,
    find_path,
    given_params,
    make_config_loader,
    make_facts,
    make_hook_manager,
    make_store,
)
from treadle.session.hooking import call_hook
from treadle.session.interruption import signals_interrupt, signals_wait
from treadle.session.masking import secret_params
from treadle.session.record import SessionFacts, masked_error
from treadle.session.recording import Recording
from treadle.session.request import make_request, names_of
from treadle.session.run_once import cannot_run, check_can_run
from treadle.session.running import run_request
from treadle.session.versions import RunVersions
from treadle.trace_ids import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from pluggy import PluginManager
    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.choice import RunnerChoice
    from treadle.execution.runners.runner import Runner
    from treadle.observe.report.report import Report
    from treadle.observe.store import SessionStore
    from treadle.project import ConfiguredProject
    from treadle.session.claims import OutputClaims
    from treadle.session.facts import GitProbe
    from treadle.session.request import RunRequest
    from treadle.session.resuming import Resumed
    from treadle.session.reusing import Reuse
    from treadle.session.status import RunStatus

_logger = logging.getLogger(__name__)


class Session:
    """One run of the configured project and its record: `with Session.create() as session: session.run()`."""

    def __init__(
        self,
        facts: SessionFacts,
        *,
        project: ConfiguredProject,
        hook_manager: PluginManager,
        store: SessionStore | None,
        git: GitProbe | None = None,
        config_loader: Any = None,
        resumed: Resumed | None = None,
    ) -> None:
        register_secrets(secret_params(facts.extra_params))
        self._facts = facts
        self._project = project
        self._hooks = hook_manager
        self._resumed = resumed
        self._recording = Recording(facts, project, store, git)
        self._config_loader = config_loader
        self._context: Context | None = None
        self._context_lock = fork_safe(threading.RLock())
        self._running = fork_safe(threading.Lock())
        self._run_error: BaseException | None = None
        self._closed = False
        self._signals = signals_interrupt()
        self.claims: OutputClaims | None = None  # set by a service: the files that its runs write
        self.cancellation: Cancellation | None = None  # the same: by which its run is stopped
        # Returns extra observers for a run; notebooks show progress this way.
        self.watching: Callable[[], AbstractContextManager[Sequence[Observer]]] = lambda: nullcontext(())

    @classmethod
    def create(
        cls,
        project_path: str | Path | None = None,
        save_on_close: bool = True,  # noqa: FBT001, FBT002 - may also be positional
        env: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
        conf_source: str | Path | None = None,
        *,
        runtime_params: Mapping[str, Any] | None = None,
        command: str | None = None,
        resume: str | None = None,
    ) -> Self:
        """Create a session of the configured project.

        Args:
            project_path: the project folder; by default the bootstrapped project, else the project at or above the working
                directory, else the working directory.
            save_on_close: whether the record is saved when the session closes; if False, nothing is written.
            env: the configuration environment; by default `TREADLE_ENV`, else the loader's default.
            extra_params: params that override those of the configuration; nested params are merged.
            conf_source: a configuration folder or archive, instead of the one in the settings; relative to the project.
            runtime_params: an alias of `extra_params`; pass only one of them.
            command: the command line as typed, for the record.
            resume: the id of a session to continue, or `"last"` for the newest one that failed, was interrupted or was lost. Its
                pipelines, filters, params, env, load versions and runner apply where this session and its run give none, and
                nodes that are done do not run again.

        Returns:
            The session; the configuration is not read yet.

        Raises:
            NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called.
            ProjectError: the settings are invalid, or the project folder does not exist.
            HookError: a hook cannot be registered, or an `on_session_created` hook failed.
            SessionError: both `extra_params` and `runtime_params` were given, or there is no session to resume.
            StoreError: SESSION_STORE_CLASS does not take SESSION_STORE_ARGS.
        """
        from treadle.project import configured_project

        project = configured_project()
        params = given_params(extra_params, runtime_params)
        check_kinds(project_path=project_path, env=env, extra_params=params, conf_source=conf_source)
        path = find_path(project, project_path)
        store = make_store(project.settings, path) if save_on_close else None
        resumed = None
        if resume is not None:
            from treadle.session.resuming import find_resumed

            resumed = find_resumed(resume, store, project, params)
            env, conf_source, params = env or resumed.env, conf_source or resumed.conf_source, resumed.extra_params
        facts = make_facts(
            project,
            project_path=project_path,
            env=choose_env(env),
            extra_params=params,
            conf_source=conf_source,
            command=command,
            resumed_from=resumed.session_id if resumed is not None else None,
        )
        manager = make_hook_manager(project.settings)
        continues: dict[str, Any] = {"resumed": resumed} if resumed is not None else {}
        session = cls(facts, project=project, hook_manager=manager, store=store, **continues)
        call_hook(manager, "on_session_created", session_data=session.store)
        return session

    @property
    def session_id(self) -> str:
        """The session's id, which is also the id of its run and the save version of its datasets."""
        return self._facts.session_id

    @property
    def store(self) -> dict[str, Any]:
        """The session's facts by name, a new copy each time; secrets in params are not masked."""
        runs = self._recording.runs
        return {
            **self._facts.as_dict(),
            "save_on_close": self._recording.saves,
            "runs": len(runs),
            "outcome": runs[-1].outcome.value if runs and runs[-1].outcome is not None else None,
        }

    def load_context(self) -> Context:
        """Return the context, creating it on first use.

        Returns:
            The cached context of the session.

        Raises:
            ConfigError: the configuration source or the environment does not exist.
        """
        with self._context_lock:
            if self._context is None:
                settings = self._project.settings
                context_class = settings.CONTEXT_CLASS or Context
                context: Context = context_class(
                    project_path=self._facts.project_path,
                    package_name=self._facts.package_name,
                    env=self._facts.env,
                    session_id=self.session_id,
                    config_loader=self._config_loader or make_config_loader(settings, self._facts),
                    extra_params=self._facts.extra_params,
                    hook_manager=self._hooks,
                    catalog_class=settings.DATA_CATALOG_CLASS,
                    # A class of the project may not have this argument.
                    **({} if settings.DATASET_VALIDATION else {"validates": False}),
                )
                call_hook(self._hooks, "after_context_created", context=context)
                self._context = context
            return self._context

    def run(  # noqa: PLR0913, PLR0917 - mirrors the command line: one argument per flag
        self,
        pipeline_names: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        runner: str | Runner | None = None,
        node_names: str | Iterable[str] | None = None,
        from_nodes: str | Iterable[str] | None = None,
        to_nodes: str | Iterable[str] | None = None,
        from_inputs: str | Iterable[str] | None = None,
        to_outputs: str | Iterable[str] | None = None,
        load_versions: Mapping[str, str] | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
        only_missing_outputs: bool = False,  # noqa: FBT001, FBT002 - mirrors the command line
        runner_params: Mapping[str, Any] | None = None,
        observers: Sequence[Observer] = (),
        *,
        pipeline_name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        on_failure: str | None = None,
        load_results: bool | Iterable[str] = False,
        skip_unchanged: bool = False,
        force: bool | Iterable[str] = False,
    ) -> RunResult:
        """Run pipelines of the project; a node runs if it passes every filter.

        Args:
            pipeline_names: names of registered pipelines, or one; `__default__` by default.
            tags: nodes with one of these tags.
            runner: a name (`"sequential"`, `"thread"`, `"parallel"`), a dotted path or a Runner. A Runner instance stays open and
                keeps its workers; a runner created from a name is closed after the run.
            node_names: these nodes.
            from_nodes: these nodes and their descendants.
            to_nodes: these nodes and their ancestors.
            from_inputs: the nodes that load these datasets, and their descendants.
            to_outputs: the nodes that save these datasets, and their ancestors.
            load_versions: version to load by dataset name, or strings `dataset:version`.
            namespaces: nodes of these namespaces.
            only_missing_outputs: only the nodes needed for persistent outputs that do not exist.
            runner_params: arguments of a runner given by name.
            observers: receive the events of the run.
            pipeline_name: a single pipeline, alternative to `pipeline_names`.
            inputs: values of the pipeline's free inputs, by dataset name; they replace catalog datasets in this run.
            on_failure: `"continue"` to run the nodes that do not depend on a failed node, `"stop"` to start no more nodes; by
                default the setting of the runner or `execution.yml`, else `"stop"`. A node's own policy takes precedence.
            load_results: load all free outputs (True) or the named ones before the run ends, as later runs may overwrite them.
            skip_unchanged: do not run nodes whose code, params, inputs and outputs are as at their last success.
            force: nodes that run even if they are up to date; True for all.

        Returns:
            A mapping of free outputs to data; files are loaded on first access, and only if unchanged since this run.

        Raises:
            SessionError: a run of this session has succeeded or is in progress, or the session is closed.
            UnknownNameError: a name is unknown; has close matches.
            PipelineError: no node passes all the filters.
            HookError: a hook of the session or of the pipeline failed.
            RunnerError: the runner is unknown, or does not accept the params.
            NodeError: a node failed; `resume` is the command that resumes the run.
            Terminated: SIGTERM or SIGHUP arrived in the main thread, and the application has no handler for it.
        """
        recorded = self._resumed.arguments if self._resumed is not None else {}
        is_made = runner is not None and not isinstance(runner, str)  # then it has its own params
        choice = choose_runner(
            runner or recorded.get("runner") or self._project.settings.RUNNER,
            runner_params or (None if is_made else recorded.get("runner_params")),
        )
        request = make_request(
            choice,
            pipeline_names=pipeline_names,
            pipeline_name=pipeline_name,
            tags=tags,
            node_names=node_names,
            from_nodes=from_nodes,
            to_nodes=to_nodes,
            from_inputs=from_inputs,
            to_outputs=to_outputs,
            namespaces=namespaces,
            load_versions=load_versions,
            only_missing_outputs=only_missing_outputs,
            inputs=inputs,
            on_failure=on_failure,
            skip_unchanged=skip_unchanged,
        ).filled(recorded)
        if not self._running.acquire(blocking=False):
            raise cannot_run(self._facts, "is running", "Wait for that run to end, or create another session.")
        try:
            check_can_run(self._facts, self._recording.runs, closed=self._closed)
            with self._claim():
                return self._run_recorded(request, choice, observers, inputs or {}, load_results, _forced(force))
        finally:
            self._running.release()

    def status(self, *, force: bool | Iterable[str] = False, **arguments: Any) -> RunStatus:
        """Say which nodes a run would skip because they are up to date, and why the others would run.

        Args:
            force: as for `run`.
            **arguments: the arguments of `run` that select nodes or the runner, by name.

        Returns:
            The status of each node, in the order in which the nodes would run.

        Raises:
            SessionError: an argument is invalid, or there is no record of earlier runs to compare with.
            UnknownNameError: a name is unknown; has close matches.
        """
        from treadle.session.status import run_status

        reuse = self._recording.reuse(skips=True, resumed=self._resumed, forced=_forced(force))
        choice = choose_runner(
            arguments.pop("runner", None) or self._project.settings.RUNNER, arguments.pop("runner_params", None)
        )
        return run_status(
            make_request(choice, **arguments).filled(self._resumed.arguments if self._resumed is not None else {}),
            cast("Reuse", reuse),
            pipelines=self._project.pipelines,
            load_context=self.load_context,
            hooks=self._hooks,
            durations=self._recording.past_seconds,
            store=self._recording.store,
        )

    def report(self, before: str | None = None) -> Report:
        """Return the report of this session's last run: where the time went, and what limits it. A notebook displays it.

        Args:
            before: id of an earlier session to compare with.

        Returns:
            The report; `report.save("report.html")` writes it to a file. The session may be open or closed.

        Raises:
            StoreError: the earlier session does not exist, or cannot be read.
            SessionError: there is no store from which it could be read.
        """
        return self._recording.report(before)

    def save(self) -> None:
        """Save the record as it stands, for a program that may be killed before it closes the session.

        Raises:
            StoreError: the record could not be saved.
        """
        self._recording.save()

    def close(self) -> None:
        """End the session and save its record; closing twice has no effect.

        Raises:
            StoreError: the record could not be saved. If the run failed, its own error propagates instead, with a note.
        """
        active = sys.exc_info()[1]  # may be unrelated to this session
        self._close(active if active is self._run_error else None)

    def __repr__(self) -> str:
        state = "running" if self._running.locked() else self.store["outcome"] or "not run yet"
        return f"<{type(self).__name__} {self.session_id} of {self._facts.package_name}, env={self._facts.env!r}: {state}>"

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._close(error)
        finally:
            self._signals.__exit__(kind, error, trace)

    def _claim(self) -> AbstractContextManager[None]:
        """Let no other session resume the one that this session resumes, if any."""
        if self._resumed is None:
            return nullcontext()
        from treadle.session.resuming import claimed

        return claimed(self._resumed, self._recording.store, self.session_id)

    def _run_recorded(
        self,
        request: RunRequest,
        choice: RunnerChoice,
        observers: Sequence[Observer],
        inputs: Mapping[str, Any],
        load_results: bool | Iterable[str],  # noqa: FBT001 - as in `run`
        forced: bool | Collection[str],  # noqa: FBT001 - the same
    ) -> RunResult:
        versions, number = RunVersions(), len(self._recording.runs) + 1
        recorder = self._recording.begin_run(
            request, lambda: versions.loaded, lambda: self.load_context().params, needs_store=self._resumed is not None
        )
        reuse = self._recording.reuse(
            skips=request.skip_unchanged, resumed=self._resumed, forced=forced, needs_store=self._resumed is not None
        )
        if reuse is not None:
            recorder.success_of = partial(reuse.success, session_id=self.session_id)
            recorder.on_worker = reuse.worker_started
        outcome, recorded = Outcome.FAILED, None
        try:
            with spare_descriptors(), signals_interrupt(), self.watching() as watchers, logs_captured(recorder.log):
                result = run_request(
                    request,
                    choice,
                    pipelines=self._project.pipelines,
                    load_context=self.load_context,
                    hooks=self._hooks,
                    session_data=self.store,
                    observers=(recorder, *watchers, *observers),
                    inputs=inputs,
                    durations=self._recording.past_seconds,
                    past_runs=self._recording.past_runs,
                    versions=versions,
                    load_results=load_results,
                    claims=self.claims,
                    cancellation=self.cancellation,
                    reuse=reuse,
                    number=number,
                    traceparent=self._facts.environment.get(VARIABLE),
                )
            outcome = Outcome.SUCCEEDED
            from treadle.execution.loop.result import RunResult

            if isinstance(result, RunResult):
                result.make_report = self._recording.report
        except (Exception, *INTERRUPTS) as exc:
            with signals_wait(exc):
                stopped = is_interrupt(exc) or isinstance(exc, RunCancelledError)
                outcome = Outcome.INTERRUPTED if stopped else Outcome.FAILED
                masked_exception(exc)
                recorded = masked_error(exc)
                self._run_error = exc
                if not inputs:  # no command line can pass a program's values
                    self._add_resume_command(exc, request, versions, recorder.resume_from)
            raise
        finally:
            with signals_wait(sys.exc_info()[1]):
                recorder.note_versions(versions.loaded)
                self._recording.end_run(recorder, outcome, recorded)
        return result

    def _add_resume_command(
        self, error: BaseException, request: RunRequest, versions: RunVersions, first_nodes: tuple[str, ...]
    ) -> None:
        from treadle.session.resume import add_resume_command

        is_recorded = self._recording.can_resume
        add_resume_command(error, request, versions, first_nodes, self._facts, self._project, is_recorded=is_recorded)

    def _close(self, error: BaseException | None) -> None:
        self._run_error = None
        self._closed = True
        self._recording.close(error)


def _forced(force: bool | Iterable[str]) -> bool | Collection[str]:  # noqa: FBT001 - as in `run`
    return force if isinstance(force, bool) else names_of(force, "force")
