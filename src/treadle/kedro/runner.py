"""The runner for Kedro projects: the interface of Kedro's `AbstractRunner` on Treadle's parallel engine.

Kedro checks the pipeline's inputs, builds the datasets and returns the outputs as for any runner; in between, `_run`
compiles the pipeline into a plan and lets the engine run it. State: the engine, whose workers stay between runs if the
runner is used as a context manager.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pluggy
from kedro.runner import AbstractRunner

from treadle.errors import NodeError, WorkerSetupError
from treadle.execution.attempt.dataset_state import SharedState, run_folder
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.execution.processes.start_method import StartMethod, choose_start_method
from treadle.execution.runners.dataset_upkeep import DatasetUpkeep
from treadle.io.catalog import new_version
from treadle.kedro.catalog import EngineCatalog
from treadle.kedro.dataset_pickling import ConfigRecipe, collect_recipes
from treadle.kedro.engines import KedroEngine, requested_start_method
from treadle.kedro.hooks import LoopHooks, worker_plugins
from treadle.kedro.nodes import KedroPipeline
from treadle.kedro.policies import read_rules
from treadle.kedro.project import KedroProject
from treadle.kedro.reuse_options import ReuseOptions
from treadle.kedro.run_bundle import KedroRunBundle
from treadle.kedro.run_failure import ResumeHint, exit_requested_by_node, original_exception
from treadle.kedro.run_record import RUN_NUMBER, record_folder, recorded
from treadle.kedro.secret_values import loaded_parameters, register_run_secrets
from treadle.kedro.session import session_info
from treadle.kedro.stored_values import values_stored
from treadle.observe.log import LogObserver
from treadle.observe.progress import watched
from treadle.planning import compile_plan
from treadle.trace_ids import VARIABLE, asks_for_traces, trace_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kedro.pipeline import Pipeline

    from treadle.events import Observer
    from treadle.io import Catalog
    from treadle.kedro.engines import KedroAutoEngine, KedroDaskEngine
    from treadle.kedro.reuse import KedroReuse
    from treadle.kedro.session import SessionInfo
    from treadle.pipeline import Pipeline as TreadlePipeline
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules
    from treadle.planning.reuse.decisions import Decisions
    from treadle.session.tracing import NodeTracing


class ParallelRunner(AbstractRunner):
    """Run a Kedro project's pipeline in worker processes, on every core, under any multiprocessing start method.

    Used as a context manager, it keeps its workers between runs, for services and batch jobs.

    Args:
        max_workers: number of processes; by default, the number of cores that this process can use.
        is_async: load inputs and save outputs in threads, as with Kedro's `--async`.
        start_method: `"fork"`, `"spawn"`, `"forkserver"` or `"loky"`; then `TREADLE_START_METHOD`, then Kedro's own
            `KEDRO_MP_CONTEXT`, then the one that the application set, then fork where it is certain to be safe, then the
            platform's safe default.
        resources: the limits of resources that running nodes share: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to run the nodes that do not depend on a failed one.
        exchange_memory: limit for the values of memory datasets, in bytes or as `"4GB"`; values beyond it go to temporary
            files. By default, half of the memory available to the process.
        seed: makes the random numbers of each node reproducible: they depend only on the seed and the node's name.
        max_nodes_per_worker: number of nodes after which a worker process is replaced.
        max_worker_memory: resident memory after a node, in bytes or as `"4GB"`, above which a worker process is replaced.
        resume: the id of a recorded session to continue, or `"last"`: its nodes that are done do not run again.
        skip_unchanged: do not run nodes whose code, params, inputs and outputs are as at their last recorded success.

    Raises:
        RunnerError: an unknown start method, fewer than one worker, or an invalid amount of memory.

    Example:
        `kedro run --runner=treadle.kedro.ParallelRunner --runner-params=max_workers=4,start_method=spawn`
    """

    def __init__(  # noqa: PLR0913 - the options of a runner, each by its name
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - Kedro's own signature
        start_method: str | None = None,
        resources: Mapping[str, int | str] | None = None,
        on_failure: str | None = None,
        exchange_memory: int | str | None = None,
        seed: int | None = None,
        *,
        max_nodes_per_worker: int | None = None,
        max_worker_memory: int | str | None = None,
        resume: str | None = None,
        skip_unchanged: bool = False,
    ) -> None:
        super().__init__(is_async=is_async)
        self._reuse_options = ReuseOptions(None if resume is None else str(resume), skip_unchanged=skip_unchanged)
        start_method = requested_start_method(start_method)
        self._engine: KedroEngine | KedroDaskEngine | KedroAutoEngine = KedroEngine(
            max_workers,
            start_method,
            resources=resources,
            on_failure=on_failure,
            exchange_memory=exchange_memory,
            seed=seed,
            max_nodes_per_worker=max_nodes_per_worker,
            max_worker_memory=max_worker_memory,
        )
        if choose_start_method(start_method).method is StartMethod.FORKSERVER:
            _start_forkserver()
        self._recipes: dict[int, dict[str, ConfigRecipe]] = {}

    @property
    def _logger(self) -> logging.Logger:
        # Kedro's logging shows INFO records only of `kedro` and the project's package.
        return logging.getLogger("kedro.runner.treadle")

    def run(self, pipeline: Pipeline, catalog: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline.

        Args:
            pipeline: the pipeline.
            catalog: its datasets.
            *args: the hook manager, the run id and the other arguments of Kedro's own `run`.
            **kwargs: the same by name.

        Returns:
            The free outputs by name, as datasets that can be loaded.

        Raises:
            Exception: the exception of a node, as under Kedro's own runners; a NodeError if it is not available, or if the
                worker died.
            SystemExit: a node called `sys.exit`, as under Kedro's SequentialRunner.
        """
        names = {name for node in pipeline.nodes for name in (*node.inputs, *node.outputs, *node.confirms)}
        self._recipes[id(catalog)] = collect_recipes(catalog, names)
        register_run_secrets(catalog, self._recipes[id(catalog)].values())
        try:
            result: dict[str, Any] = super().run(pipeline, catalog, *args, **kwargs)
        except NodeError as error:
            node_exception = original_exception(error)
        else:
            return result
        finally:
            self._recipes.pop(id(catalog), None)
        raise node_exception  # raised here, because frames of the engine do not help the user

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        nodes = KedroPipeline(pipeline)
        if not nodes.nodes:
            return
        manager = hook_manager if isinstance(hook_manager, pluggy.PluginManager) else None
        session = session_info(manager, run_id)
        rules = read_rules(session, nodes.nodes)
        engine_catalog = EngineCatalog(catalog, nodes.nodes)
        reuse = self._find_reuse(session)
        results = pipeline.outputs()
        with values_stored(engine_catalog, nodes, rules, reuse, run_id or new_version(), results=results) as stored:
            if stored:
                engine_catalog = EngineCatalog(catalog, nodes.nodes)
                for name in stored:
                    self._recipes.get(id(catalog), {}).pop(name, None)
            plan = compile_plan(cast("TreadlePipeline", nodes), cast("Catalog", engine_catalog), rules)
            decisions = self._decide(reuse, nodes, engine_catalog, manager, rules, session)
            free = pipeline.inputs() | results
            try:
                self._run_plan(plan, engine_catalog, manager, session, run_id, free=free, reuse=reuse, decisions=decisions)
            except NodeError as error:
                if error.exit_code is None:
                    raise
                exit_error = exit_requested_by_node(
                    error, manager, self._logger, run_params=session.run_params, pipeline=pipeline, catalog=catalog
                )
            else:
                return
        raise exit_error

    def _run_plan(
        self,
        plan: Plan,
        engine_catalog: EngineCatalog,
        manager: pluggy.PluginManager | None,
        session: SessionInfo,
        run_id: str | None,
        *,
        free: Collection[str],
        reuse: KedroReuse | None,
        decisions: Decisions | None,
    ) -> None:
        shared_names = engine_catalog.datasets_with_shared_state()
        with run_folder(wanted=bool(shared_names or worker_plugins(manager))) as folder:
            run = RunBundle(
                run_id=run_id or new_version(),
                plan=plan,
                catalog=cast("Catalog", engine_catalog),
                hooks=cast("pluggy.PluginManager", LoopHooks(manager, engine_catalog.kedro)) if manager is not None else None,
                is_async=self._is_async,
                state=SharedState(folder, shared_names) if folder is not None and shared_names else None,
                decisions=decisions,
            )
            bundle = KedroRunBundle(
                run,
                manager=manager,
                recipes=self._recipes.get(id(engine_catalog.kedro), {}),
                versions=engine_catalog.pin_versions(),
                given_id=run_id,
                folder=folder,
                tracing=_tracing(run_id),
            )
            upkeep = DatasetUpkeep(
                plan,
                bundle.state,
                dataset=engine_catalog.dataset,
                release=engine_catalog.kedro.release,
                released=engine_catalog.releasable(free),
                warn=self._logger.warning,
            )
            try:
                self._run_bundle(bundle, upkeep, session, reuse)
            finally:  # hooks of a failed run also see the collected data
                if folder is not None:
                    for merger in bundle.mergers:
                        merger.merge(folder, self._logger.warning)

    def _find_reuse(self, session: SessionInfo) -> KedroReuse | None:
        """Find what earlier runs recorded; None if the project does not record its runs."""
        package = KedroProject.of_this_process().package_name
        root = record_folder(package, session)
        if root is None and not self._reuse_options.skips:
            return None
        from treadle.kedro.reuse import find_reuse

        return find_reuse(self._reuse_options, root, package, session)

    def _decide(
        self,
        reuse: KedroReuse | None,
        nodes: KedroPipeline,
        catalog: EngineCatalog,
        manager: pluggy.PluginManager | None,
        rules: PolicyRules,
        session: SessionInfo,
    ) -> Decisions | None:
        """Decide which nodes are up to date, in a project that records its runs; versions are not pinned yet."""
        if reuse is None:
            return None
        from treadle.kedro.reuse import decide, log_causes

        recipes = self._recipes.get(id(catalog.kedro), {})
        decisions: Decisions | None = decide(
            reuse.reuse, nodes.nodes, catalog, recipes, manager, rules, self._engine.seed, session
        )
        log_causes(reuse.reuse, decisions)
        return decisions

    def _run_bundle(self, bundle: KedroRunBundle, upkeep: DatasetUpkeep, session: SessionInfo, reuse: KedroReuse | None) -> None:
        project = KedroProject.of_this_process()
        self._engine.use(project, bundle.plan)
        resume_hint = ResumeHint(bundle.plan)
        try:
            params = partial(loaded_parameters, cast("EngineCatalog", bundle.catalog).kedro)
            with recorded(bundle.run_id, reuse, session, params) as records, watched() as watchers:
                own: list[Observer] = [upkeep] if upkeep else []
                observers = [*own, LogObserver(self._logger.getChild("nodes")), *watchers, *records.observers, resume_hint]
                self._engine.run_bundle(bundle, observers, records.durations, past_runs=records.past_runs)
                upkeep.check()
        except BaseException as error:  # re-raised
            cast("EngineCatalog", bundle.catalog).unpin_versions()
            if isinstance(error, (NodeError, WorkerSetupError, *INTERRUPTS)):
                resume_hint.log_how_to_resume(error, self._logger)
            raise

    def _get_executor(self, max_workers: int) -> None:
        """Return None: Kedro requires this method for executors of futures; the engine has its own."""

    def close(self) -> None:
        """Stop the workers; the runner can be used again."""
        self._engine.close()

    def __enter__(self) -> ParallelRunner:
        self._engine.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.close()

    def __repr__(self) -> str:
        return f"treadle.kedro.{self._engine!r}"


def _tracing(run_id: str | None) -> NodeTracing | None:
    """Return what makes the span of each node the current one, if this process's environment asks for traces."""
    if run_id is None or not asks_for_traces(os.environ):
        return None
    from treadle.session.tracing import NodeTracing

    trace = trace_of(run_id, os.environ.get(VARIABLE))
    return NodeTracing(run_id, RUN_NUMBER, trace.trace_id, one_at_a_time=True)


def _start_forkserver() -> None:
    """Start this process's forkserver early, so that it imports while Kedro reads the project's configuration."""
    from treadle.execution.executors.loky.preload import preload_forkserver
    from treadle.execution.executors.loky.slot import ensure_forkserver

    preload_forkserver("treadle.kedro.preload")
    ensure_forkserver()
