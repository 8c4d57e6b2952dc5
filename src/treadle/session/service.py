"""Many runs in one process: a project loaded once, run again and again with other params.

::

    ServiceSession ── loaded once: settings, pipelines, hooks, parsed conf/, one runner with warm workers, the store
        run() ── a Session of its own: id, params, context, catalog, record ──▶ the shared runner, one run at a time
        run() ── another one, from another thread: nothing of the first one's is seen

State: what is shared (see above), how many runs are under way, whether it is closed. Neighbours: `session.py` is each run,
`creation.py` makes the parts.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError
from treadle.forks import fork_safe
from treadle.session.claims import OutputClaims
from treadle.session.creation import make_config_loader, make_facts, make_hook_manager, make_store, start_git_probe
from treadle.session.hooking import call_hook
from treadle.session.identity import new_session_id
from treadle.session.session import ENV_VARIABLE, Session

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

    Each run is a session of its own in the store, with its own id, params, context and catalog. It may be called from many
    threads at once: runs share the workers and wait for one another there. The configuration's files are read once, so what
    changes in them counts from the next service on.
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
        self._under_way = 0
        self._closed = False

    @classmethod
    def create(
        cls,
        project_path: str | Path | None = None,
        save_on_close: bool = True,  # noqa: FBT001, FBT002 - as of a session
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
            save_on_close: whether each run's record is written when it ends.
            env: the configuration environment of all runs.
            extra_params: params of all runs, over those of the configuration; a run may have its own over these.
            conf_source: the configuration folder or archive, in place of the settings'.
            runner: what runs share: a name, a dotted path or a Runner. One that is made here keeps its workers until the
                service closes; a Runner that is given stays as it is.
            runner_params: what a runner given by name is made with.
            command: the command line as typed, for the records.

        Returns:
            The service; workers start with the first run.

        Raises:
            NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called.
            ProjectError: the settings are wrong, or there is no such folder.
            HookError: a hook cannot be registered.
            RunnerError: there is no such runner.
            StoreError: SESSION_STORE_CLASS does not take SESSION_STORE_ARGS.
        """
        from treadle.execution.runners.choice import choose_runner
        from treadle.project import configured_project

        project = configured_project()
        facts = make_facts(
            project,
            project_path=project_path,
            env=env or os.environ.get(ENV_VARIABLE) or None,
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
        """Run pipelines of the project once more.

        Args:
            pipeline_names: names of registered pipelines, or one; `__default__` by default.
            extra_params: params of this run, over those of the service and of the configuration.
            inputs: values for free inputs of the pipeline, by dataset name.
            runner: for this run alone, in place of the shared one.
            **arguments: any other argument of `Session.run`: `tags`, `node_names`, `load_versions`, `load_results`, …

        Returns:
            Free output to data; `run_id` is the run's id. It can be used for as long as it is kept, after the service too: values
            in memory and those of `load_results`. A file is loaded when it is asked for, which is an error where another run
            has written it since.

        Raises:
            SessionError: the service is closed.
            TreadleError: whatever `Session.run` raises.
        """
        from treadle.config.params import merge_params

        with self._one_more():
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
        """Wait for the runs under way, then end the workers; closing twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._under_way)
        self._closing.close()
        if self._store is not None:
            self._store.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        """Count a run in and out."""
        with self._changed:
            if self._closed:
                msg = "The service session is closed. Make another one with ServiceSession.create()."
                raise SessionError(msg, session_id=self._facts.session_id)
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _loader_for(self, facts: SessionFacts) -> Any:
        """Return a config loader of a run's own; Treadle's shares the files it has parsed."""
        share = getattr(self._loader, "with_runtime_params", None)
        if callable(share):
            return share(facts.extra_params)
        return make_config_loader(self._project.settings, facts)


class _SharedStore:
    """A store that stays open while sessions come and go, and takes their records one at a time.

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
        return getattr(self._store, name)  # what a store offers beyond the protocol

    def close(self) -> None:
        """A session is done with it: it stays open for the next."""

    def close_all(self) -> None:
        """The service is done with it."""
        with self._lock:
            self._store.close()
