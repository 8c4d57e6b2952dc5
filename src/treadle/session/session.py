"""A session: the life of one run, from its configuration to its record.

::

    create ── facts, hooks: on_session_created
      run ── pipelines selected ── context: config, params, catalog ── before_pipeline_run
               └─▶ Runner.run ── events ──▶ recorder, the caller's observers
             after_pipeline_run | on_pipeline_error
    close ── record ──▶ store

State of a session: its facts, its context once made, whether it runs or is closed. The process's own state is the
configured project (`treadle.project.configure`), which a session reads when it is created.

Neighbours: `creation.py` makes its parts, `context.py` is what a run sees, `request.py` what it was asked for, `recording.py`
keeps what becomes of it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError
from treadle.events import Outcome
from treadle.execution.runners.choice import choose_runner
from treadle.forks import fork_safe
from treadle.secrets import masked_exception, register_secrets
from treadle.session.context import Context
from treadle.session.creation import make_config_loader, make_facts, make_hook_manager, make_store
from treadle.session.hooking import call_hook
from treadle.session.interruption import signals_interrupt, signals_wait
from treadle.session.masking import secret_params
from treadle.session.record import SessionFacts, masked_error
from treadle.session.recording import Recording
from treadle.session.request import RunRequest, failure_policy_of, names_of, versions_of
from treadle.session.resume import say_how_to_resume
from treadle.session.running import run_request
from treadle.session.turn import check_turn, out_of_turn
from treadle.session.versions import RunVersions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from pluggy import PluginManager
    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.choice import RunnerChoice
    from treadle.execution.runners.runner import Runner
    from treadle.observe.store import SessionStore
    from treadle.project import ConfiguredProject
    from treadle.session.claims import OutputClaims
    from treadle.session.facts import GitProbe

ENV_VARIABLE = "TREADLE_ENV"
"""The environment variable that names the configuration environment where no argument does."""

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
    ) -> None:
        register_secrets(secret_params(facts.extra_params))
        self._facts = facts
        self._project = project
        self._hooks = hook_manager
        self._recording = Recording(facts, project, store, git)
        self._config_loader = config_loader
        self._context: Context | None = None
        self._context_lock = fork_safe(threading.RLock())
        self._running = fork_safe(threading.Lock())
        self._run_error: BaseException | None = None
        self._closed = False
        self._signals = signals_interrupt()
        self.claims: OutputClaims | None = None  # the files that the runs of one service write, where this is one of them
        # Gives more observers around a run: how a notebook shows progress.
        self.watching: Callable[[], AbstractContextManager[Sequence[Observer]]] = lambda: nullcontext(())

    @classmethod
    def create(
        cls,
        project_path: str | Path | None = None,
        save_on_close: bool = True,  # noqa: FBT001, FBT002 - known by its place, too
        env: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
        conf_source: str | Path | None = None,
        *,
        runtime_params: Mapping[str, Any] | None = None,
        command: str | None = None,
    ) -> Self:
        """Make a session of the configured project.

        Args:
            project_path: the project; by default the bootstrapped one, else the one at or above the working directory,
                else the working directory.
            save_on_close: whether closing writes the record; False writes nothing at all.
            env: the configuration environment; by default `TREADLE_ENV`, else the loader's default.
            extra_params: params over those of the configuration; nested ones are merged.
            conf_source: the configuration folder or archive, in place of the settings'; relative to the project.
            runtime_params: another name for `extra_params`; give one of them.
            command: the command line as typed, for the record.

        Returns:
            The session; nothing of the configuration is read yet.

        Raises:
            NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called.
            ProjectError: the settings are wrong, or there is no such folder.
            HookError: a hook cannot be registered, or `on_session_created` of one failed.
            SessionError: the params were given by both names.
            StoreError: SESSION_STORE_CLASS does not take SESSION_STORE_ARGS.
        """
        from treadle.project import configured_project

        project = configured_project()
        if extra_params and runtime_params:
            msg = "Session.create was given both extra_params and runtime_params, two names of one thing. Give one of them."
            raise SessionError(msg)
        facts = make_facts(
            project,
            project_path=project_path,
            env=env or os.environ.get(ENV_VARIABLE) or None,
            extra_params=extra_params or runtime_params or {},
            conf_source=conf_source,
            command=command,
        )
        manager = make_hook_manager(project.settings)
        store = make_store(project.settings, facts.project_path) if save_on_close else None
        session = cls(facts, project=project, hook_manager=manager, store=store)
        call_hook(manager, "on_session_created", session_data=session.store)
        return session

    @property
    def session_id(self) -> str:
        """The session's id, which is also its run's id and the version under which datasets are saved."""
        return self._facts.session_id

    @property
    def store(self) -> dict[str, Any]:
        """The session's data by name, a new copy each time; secrets in params are not masked here."""
        runs = self._recording.runs
        return {
            **self._facts.as_dict(),
            "save_on_close": self._recording.saves,
            "runs": len(runs),
            "outcome": runs[-1].outcome.value if runs else None,
        }

    def load_context(self) -> Context:
        """Make the context, or return it where it is made.

        Returns:
            The session's context; always the same one.

        Raises:
            ConfigError: the configuration cannot be found, or the environment does not exist.
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
                )
                call_hook(self._hooks, "after_context_created", context=context)
                self._context = context
            return self._context

    def run(  # noqa: PLR0913, PLR0917 - mirrors the command line: one argument a flag
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
    ) -> RunResult:
        """Run pipelines of the project; filters intersect.

        Args:
            pipeline_names: names of registered pipelines, or one; `__default__` by default.
            tags: nodes with one of these tags.
            runner: a name (`"sequential"`, `"thread"`, `"parallel"`), a dotted path or a Runner. A Runner stays open and
                keeps its workers; one that is made here, from a name, is closed.
            node_names: these nodes.
            from_nodes: these nodes and what comes after them.
            to_nodes: these nodes and what comes before them.
            from_inputs: what needs these datasets.
            to_outputs: what these datasets need.
            load_versions: version to load by dataset name, or `dataset:version` texts.
            namespaces: nodes of these namespaces.
            only_missing_outputs: only what is needed for persistent outputs that do not exist.
            runner_params: what a runner given by name is made with.
            observers: takers of the run's events.
            pipeline_name: one pipeline's name, another way to give `pipeline_names`.
            inputs: values for free inputs of the pipeline, by dataset name: this run sees them in place of what the catalog has.
            on_failure: `"continue"` to go on with what does not depend on a node that failed, `"stop"` to start nothing more;
                by default what the runner or `execution.yml` says, else `"stop"`. A node's own policy goes before it.
            load_results: load the free outputs (True), or those named, before the run ends: later runs may write the same files.

        Returns:
            Free output to data, loaded at first use, and only from files that are as this run saved them.

        Raises:
            SessionError: a run of this session succeeded before, one is under way, or the session is closed.
            UnknownNameError: a name nobody has; carries close matches.
            PipelineError: no node passes all the filters.
            HookError: a hook of the session or of the pipeline failed.
            RunnerError: there is no such runner, or it does not take the parameters.
            NodeError: a node failed; `resume` is the command that goes on from there.
            Terminated: SIGTERM or SIGHUP arrived (in the main thread, where the application does not handle it itself).
        """
        choice = choose_runner(runner, runner_params)
        request = RunRequest(
            pipeline_names=names_of(pipeline_names, "pipeline_names") or names_of(pipeline_name, "pipeline_name"),
            tags=names_of(tags, "tags"),
            node_names=names_of(node_names, "node_names"),
            from_nodes=names_of(from_nodes, "from_nodes"),
            to_nodes=names_of(to_nodes, "to_nodes"),
            from_inputs=names_of(from_inputs, "from_inputs"),
            to_outputs=names_of(to_outputs, "to_outputs"),
            namespaces=names_of(namespaces, "namespaces"),
            load_versions=versions_of(load_versions),
            only_missing_outputs=only_missing_outputs,
            runner=choice.name,
            runner_params=choice.params,
            inputs=tuple(inputs or ()),
            on_failure=failure_policy_of(on_failure),
        )
        if not self._running.acquire(blocking=False):
            raise out_of_turn(self._facts, "is running", "Wait for that run to end, or make another session for this one.")
        try:
            check_turn(self._facts, self._recording.runs, closed=self._closed)
            return self._run_recorded(request, choice, observers, inputs or {}, load_results)
        finally:
            self._running.release()

    def save(self) -> None:
        """Keep the record as it stands, for a program that may be killed before it closes; closing keeps it again.

        Raises:
            StoreError: the record could not be written.
        """
        self._recording.save()

    def close(self) -> None:
        """End the session and keep its record; closing twice is fine.

        Raises:
            StoreError: the record could not be written. Where the run's own error is on its way, that one goes on instead,
                and carries a note of this one.
        """
        active = sys.exc_info()[1]  # perhaps of another part of the program
        self._close(active if active is self._run_error else None)

    def __repr__(self) -> str:
        past = [run.outcome.value for run in self._recording.runs] or ["not run yet"]
        state = "running" if self._running.locked() else past[-1]
        return f"<{type(self).__name__} {self.session_id} of {self._facts.package_name}, env={self._facts.env!r}: {state}>"

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._close(error)
        finally:
            self._signals.__exit__(kind, error, trace)

    def _run_recorded(
        self,
        request: RunRequest,
        choice: RunnerChoice,
        observers: Sequence[Observer],
        inputs: Mapping[str, Any],
        load_results: bool | Iterable[str],  # noqa: FBT001 - as `run` takes it
    ) -> RunResult:
        recorder = self._recording.begin_run(request)
        outcome, recorded, versions = Outcome.FAILED, None, RunVersions()
        try:
            with signals_interrupt(), self.watching() as watchers:
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
                    versions=versions,
                    load_results=load_results,
                    claims=self.claims,
                )
            outcome = Outcome.SUCCEEDED
        except (Exception, KeyboardInterrupt) as exc:
            with signals_wait(exc):
                outcome = Outcome.INTERRUPTED if isinstance(exc, KeyboardInterrupt) else Outcome.FAILED
                masked_exception(exc)
                recorded = masked_error(exc)
                self._run_error = exc
                # Values that a program gave cannot be typed, so no command line resumes such a run.
                if not inputs:
                    say_how_to_resume(exc, request, versions, recorder.resume_from, self._facts, self._project)
            raise
        finally:
            with signals_wait(sys.exc_info()[1]):
                recorder.note_versions(versions.loaded)
                self._recording.end_run(recorder, outcome, recorded)
        return result

    def _close(self, error: BaseException | None) -> None:
        self._run_error = None
        self._closed = True
        self._recording.close(error)
