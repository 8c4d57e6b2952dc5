"""Run a project many times in one process: it is loaded once, and each run has its own params.

::

    ServiceSession ── shared: settings, pipelines, hooks, parsed conf/, one runner with warm workers, the store
        run() ── own Session: id, params, context, catalog, record ──▶ the shared runner, one run at a time
        run() ── own Session, from another thread: isolated from the first

State: the shared parts, the number of active runs, whether the service is closed. Neighbours: `session.py` executes each run,
`creation.py` creates the parts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError
from treadle.forks import fork_safe
from treadle.session.claims import OutputClaims
from treadle.session.creation import choose_env, make_config_loader, make_facts, make_hook_manager, make_store, start_git_probe
from treadle.session.hooking import call_hook
from treadle.session.identity import new_session_id
from treadle.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pluggy import PluginManager
    from typing_extensions import Self

    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.runner import Runner
    from treadle.observe.store import SessionRecord, SessionStore, SessionSummary
    from treadle.project import ConfiguredProject
    from treadle.session.record import SessionFacts


class ServiceSession:
    """A loaded project and many runs of it: `with ServiceSession.create() as service: service.run(extra_params={...})`.

    Each run is a separate session in the store, with its own id, params, context and catalog. `run` is thread-safe: concurrent
    runs share the workers, one run at a time. Configuration files are read once, so later edits need a new service.
    """

    def __init__(
        self,
        facts: SessionFacts,
        *,
        project: ConfiguredProject,
        hook_manager: PluginManager,
        store: SessionStore | None,
        runner: Runner,
        closing: ExitStack,
    ) -> None:
        self._facts = facts
        self._project = project
        self._hooks = hook_manager
        self._store = None if store is None else _SharedStore(store)
        self._git = None if store is None else start_git_probe(project, facts)
        self._runner = runner
        self._closing = closing
        self._session_class: type[Session] = project.settings.SESSION_CLASS or Session
        self._loader = make_config_loader(project.settings, facts)
        self._claims = OutputClaims()
        self._changed = fork_safe(threading.Condition())
        self._active_runs = 0
        self._closed = False

    @classmethod
    def create(
        cls,
        project_path: str | Path | None = None,
        save_on_close: bool = True,  # noqa: FBT001, FBT002 - as in `Session.create`
        env: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
        conf_source: str | Path | None = None,
        *,
        runner: str | Runner | None = "parallel",
        runner_params: Mapping[str, Any] | None = None,
        command: str | None = None,
    ) -> Self:
        """Load the configured project for many runs.

        Args:
            project_path: as for `Session.create`.
            save_on_close: whether the record of each run is saved when the run ends.
            env: the configuration environment of all runs.
            extra_params: params of all runs, which override the configuration's; the params of a run override these.
            conf_source: a configuration folder or archive, instead of the one in the settings.
            runner: the shared runner: a name, a dotted path or a Runner. A runner created from a name keeps its workers until
                the service closes; a Runner instance stays open.
            runner_params: arguments of a runner given by name.
            command: the command line as typed, for the records.

        Returns:
            The service; workers start with the first run.

        Raises:
            NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called.
            ProjectError: the settings are invalid, or the project folder does not exist.
            HookError: a hook cannot be registered.
            RunnerError: the runner is unknown.
            StoreError: SESSION_STORE_CLASS does not take SESSION_STORE_ARGS.
        """
        from treadle.execution.runners.choice import choose_runner
        from treadle.project import configured_project

        project = configured_project()
        facts = make_facts(
            project,
            project_path=project_path,
            env=choose_env(env),
            extra_params=extra_params or {},
            conf_source=conf_source,
            command=command,
        )
        closing = ExitStack()
        return cls(
            facts,
            project=project,
            runner=closing.enter_context(choose_runner(runner, runner_params).opened()),
            hook_manager=make_hook_manager(project.settings),
            store=make_store(project.settings, facts.project_path) if save_on_close else None,
            closing=closing,
        )

    def run(
        self,
        pipeline_names: str | Iterable[str] | None = None,
        *,
        extra_params: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        runner: str | Runner | None = None,
        **arguments: Any,
    ) -> RunResult:
        """Run pipelines of the project in a new session.

        Args:
            pipeline_names: names of registered pipelines, or one; `__default__` by default.
            extra_params: params of this run, which override those of the service and of the configuration.
            inputs: values of the pipeline's free inputs, by dataset name.
            runner: a runner for this run only, instead of the shared one.
            **arguments: any other argument of `Session.run`: `tags`, `node_names`, `load_versions`, `load_results`, …

        Returns:
            A mapping of free outputs to data; `run_id` is the run's id. In-memory values and those of `load_results` stay
            available, even after the service closes. A file is loaded on access, which raises if another run has overwritten it.

        Raises:
            SessionError: the service is closed.
            TreadleError: any error of `Session.run`.
        """
        from treadle.config.params import merge_params

        with self._active_run():
            facts = replace(
                self._facts,
                session_id=new_session_id(),
                extra_params=merge_params(self._facts.extra_params, extra_params or {}),
                started=time.time(),
            )
            session = self._session_class(
                facts,
                project=self._project,
                hook_manager=self._hooks,
                store=self._store,
                git=self._git,
                config_loader=self._loader_for(facts),
            )
            session.claims = self._claims
            with session:
                call_hook(self._hooks, "on_session_created", session_data=session.store)
                return session.run(pipeline_names, runner=runner or self._runner, inputs=inputs, **arguments)

    def close(self) -> None:
        """Wait for the active runs, then end the workers and close the store; closing twice has no effect."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._active_runs)
        self._closing.close()
        if self._store is not None:
            self._store.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def _active_run(self) -> Iterator[None]:
        """Count a run as active for the length of the block."""
        with self._changed:
            if self._closed:
                msg = "The service session is closed. Create another one with ServiceSession.create()."
                raise SessionError(msg, session_id=self._facts.session_id)
            self._active_runs += 1
        try:
            yield
        finally:
            with self._changed:
                self._active_runs -= 1
                self._changed.notify_all()

    def _loader_for(self, facts: SessionFacts) -> Any:
        """Return a config loader for one run; Treadle's own loader shares the parsed files between runs."""
        share = getattr(self._loader, "with_runtime_params", None)
        if callable(share):
            return share(facts.extra_params)
        return make_config_loader(self._project.settings, facts)


class _SharedStore:
    """A store that stays open between sessions and serialises their access to it.

    Args:
        store: the store of the project's settings.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._lock = fork_safe(threading.Lock())

    def save(self, record: SessionRecord) -> None:
        with self._lock:
            self._store.save(record)

    def load(self, session_id: str) -> SessionRecord:
        with self._lock:
            return self._store.load(session_id)

    def list(self, limit: int = 20) -> Sequence[SessionSummary]:
        with self._lock:
            return self._store.list(limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)  # methods beyond the SessionStore protocol

    def close(self) -> None:
        """Do nothing: the store stays open for the next session."""

    def close_all(self) -> None:
        """Close the store, when the service closes."""
        with self._lock:
            self._store.close()
