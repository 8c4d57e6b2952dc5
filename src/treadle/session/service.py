"""Run a project many times in one process: it is loaded once, and each run has its own params.

::

    ServiceSession ── shared: settings, pipelines, hooks, parsed conf/, one runner with warm workers, the store
        run() ── own Session: id, params, context, catalog, record ──▶ the shared runner, one run at a time
        run() ── own Session, from another thread: isolated from the first
        submit() ── RunHandle ──▶ queue ──▶ its thread: run()

State: the shared parts, the queue, the number of active runs, whether the service is closed. Neighbours: `session.py` executes
each run, `creation.py` creates the parts, `run_queue.py` has the queue.
The module is long because `run` and `submit` document their many arguments here, where users look for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.errors import SessionError, StoreError
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple
from treadle.session.claims import OutputClaims
from treadle.session.creation import choose_env, make_config_loader, make_facts, make_hook_manager, make_store, start_git_probe
from treadle.session.handle import RunHandle
from treadle.session.hooking import call_hook
from treadle.session.identity import new_session_id
from treadle.session.resuming import find_resumed_by_service
from treadle.session.run_queue import RunQueue
from treadle.session.session import Session
from treadle.session.shared_store import SharedStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pluggy import PluginManager
    from typing_extensions import Self

    from treadle.events import Observer
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.runner import Runner
    from treadle.observe.store import SessionStore
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
        self._store = None if store is None else SharedStore(store)
        self._git = None if store is None else start_git_probe(project, facts)
        self._runner = runner
        self._closing = closing
        self._session_class: type[Session] = project.settings.SESSION_CLASS or Session
        self._loader = make_config_loader(project.settings, facts)
        self._claims = OutputClaims()
        self._changed = fork_safe(threading.Condition())
        self._active_runs = 0
        self._queue = RunQueue()
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
            runner=closing.enter_context(choose_runner(runner or project.settings.RUNNER, runner_params).opened()),
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
        resume: str | None = None,
        **arguments: Any,
    ) -> RunResult:
        """Run pipelines of the project in a new session.

        Args:
            pipeline_names: names of registered pipelines, or one; `__default__` by default.
            extra_params: params of this run, which override those of the service and of the configuration.
            inputs: values of the pipeline's free inputs, by dataset name.
            runner: a runner for this run only, instead of the shared one.
            resume: continue a session that did not succeed: its id, or "last". Its params and arguments are repeated, and those
                given here override them; a session that had `inputs` needs all of them again.
            **arguments: any other argument of `Session.run`: `tags`, `node_names`, `load_versions`, `load_results`, …

        Returns:
            A mapping of free outputs to data; `run_id` is the run's id. In-memory values and those of `load_results` stay
            available, even after the service closes. A file is loaded on access, which raises if another run has overwritten it.

        Raises:
            SessionError: the service is closed, or the session cannot be resumed.
            TreadleError: any error of `Session.run`.
        """
        with self._active_run():
            given = _Given(
                merge_params({}, extra_params or {}), inputs, runner, resume, {"pipeline_names": pipeline_names, **arguments}
            )
            return self._run(new_session_id(), given)

    def submit(
        self,
        pipeline_names: str | Iterable[str] | None = None,
        *,
        extra_params: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        runner: str | Runner | None = None,
        resume: str | None = None,
        run_id: str | None = None,
        observers: Sequence[Observer] = (),
        **arguments: Any,
    ) -> RunHandle:
        """Queue a run and return at once. Submitted runs start in order, one at a time.

        Args:
            pipeline_names: as for `run`.
            extra_params: as for `run`.
            inputs: as for `run`; do not change them before the run has ended.
            runner: as for `run`.
            resume: as for `run`.
            run_id: the id of the run, made by `treadle.session.identity.new_session_id`; by default a new one.
            observers: receive the events of the run, in the thread that runs it.
            **arguments: as for `run`.

        Returns:
            The handle of the run. Its `result()` raises what `run` would raise.

        Raises:
            SessionError: the service is closed.
        """
        given = _Given(
            merge_params({}, extra_params or {}),
            inputs,
            runner,
            resume,
            {"pipeline_names": pipeline_names, "observers": observers, **arguments},
        )
        handle = RunHandle(run_id or new_session_id(), lambda handle: self._run(handle.id, given, handle))
        with self._changed:
            self._refuse_if_closed()
            self._queue.put(handle)
        return handle

    def check_untrusted(self, extra_params: Mapping[str, Any]) -> None:
        """Raise if the params of a run, which come from outside, choose a class, credentials, or a file in another folder.

        Args:
            extra_params: the params.

        Raises:
            ConfigError: they do, by a catalog entry that contains `${runtime_params:…}`.
        """
        from treadle.session.untrusted import check_untrusted

        def read(params: Mapping[str, Any]) -> Any:
            return self._loader_for(self._facts._replace(extra_params=merge_params(self._facts.extra_params, params)))

        check_untrusted(read, merge_params({}, extra_params))

    @property
    def store(self) -> SharedStore | None:
        """Where the runs are recorded; None if they are not. Closing it has no effect before the service is closed."""
        return self._store

    @property
    def facts(self) -> SessionFacts:
        """The facts that all runs share."""
        return self._facts

    @property
    def project(self) -> ConfiguredProject:
        """The project."""
        return self._project

    @property
    def runner(self) -> Runner:
        """The shared runner."""
        return self._runner

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the submitted and active runs, then end the workers and close the store; closing twice has no effect.

        Args:
            cancel: cancel the submitted runs first.

        Raises:
            SessionError: called by a done callback or a node, in the thread that executes the submitted runs.
        """
        if self._queue.is_own_thread:
            msg = (
                "A done callback or a node cannot close the service session, because the thread that calls it executes the "
                "submitted runs, and closing waits for them. Close it in another thread."
            )
            raise SessionError(msg, session_id=self._facts.session_id)
        with self._changed:
            self._closed = True
        self._queue.close(cancel=cancel)
        with self._changed:
            self._changed.wait_for(lambda: not self._active_runs)
        self._closing.close()
        if self._store is not None:
            self._store.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        self.close(cancel=kind is not None)

    def _run(self, session_id: str, given: _Given, handle: RunHandle | None = None) -> RunResult:
        """Run in a new session with the given id."""
        params, resumed = merge_params(self._facts.extra_params, given.extra_params), None
        if given.resume is not None:
            resumed = find_resumed_by_service(given.resume, self._store, self._project, self._facts, params, given.inputs)
            params = merge_params(resumed.extra_params, params)
        facts = self._facts._replace(
            session_id=session_id,
            extra_params=params,
            started=time.time(),
            resumed_from=resumed.session_id if resumed is not None else None,
        )
        session = self._session_class(
            facts,
            project=self._project,
            hook_manager=self._hooks,
            store=self._store,
            git=self._git,
            config_loader=self._loader_for(facts),
            **({"resumed": resumed} if resumed is not None else {}),
        )
        if self._store is not None:
            self._store.keep_open()
            with suppress(StoreError):  # the sessions concerned have logged that their records are not saved
                self._store.save_unsaved()
        session.claims = self._claims
        observers = given.arguments.pop("observers", None) or ()
        if handle is not None:
            session.cancellation, observers = handle.cancellation, (handle.note, *observers)
        with session:
            call_hook(self._hooks, "on_session_created", session_data=session.store)
            runner = given.runner or self._runner
            return session.run(runner=runner, inputs=given.inputs, observers=observers, **given.arguments)

    @contextmanager
    def _active_run(self) -> Iterator[None]:
        """Count a run as active for the length of the block."""
        with self._changed:
            self._refuse_if_closed()
            self._active_runs += 1
        try:
            yield
        finally:
            with self._changed:
                self._active_runs -= 1
                self._changed.notify_all()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            msg = "The service session is closed. Create another one with ServiceSession.create()."
            raise SessionError(msg, session_id=self._facts.session_id)

    def _loader_for(self, facts: SessionFacts) -> Any:
        """Return a config loader for one run; Treadle's own loader shares the parsed files between runs."""
        share = getattr(self._loader, "with_runtime_params", None)
        if callable(share):
            return share(facts.extra_params)
        return make_config_loader(self._project.settings, facts)


class _Given(NamedTuple):
    """The arguments of one run: `arguments` are those of `Session.run`."""

    extra_params: Mapping[str, Any]
    inputs: Mapping[str, Any] | None
    runner: str | Runner | None
    resume: str | None
    arguments: dict[str, Any]
