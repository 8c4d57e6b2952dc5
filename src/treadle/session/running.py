"""Execute a run request: select the nodes, create the catalog, call the hooks and the runner.

State: none. Neighbours: `session.py` calls `run_request`; `selection.py` selects the nodes.
"""

from __future__ import annotations

import inspect
import logging
import os
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError, RunnerError
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.planning.policies import NO_RULES
from treadle.project.current import configured_project, is_configured
from treadle.session.hooking import call_hook
from treadle.session.locating import name_place
from treadle.session.policies import all_nodes
from treadle.session.prepared import prepare_run
from treadle.session.selection import DEFAULT_PIPELINE
from treadle.session.stored_values import with_stored_values
from treadle.session.versions import RunVersions
from treadle.trace_ids import asks_for_traces, trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pluggy import PluginManager

    from treadle.events import Observer
    from treadle.execution.loop.cancellation import Cancellation
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.choice import RunnerChoice
    from treadle.execution.runners.runner import Runner
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.planning.run_times import RunTimes
    from treadle.session.claims import OutputClaims
    from treadle.session.context import Context
    from treadle.session.request import RunRequest
    from treadle.session.reusing import Reuse

_logger = logging.getLogger(__name__)


def run_request(  # noqa: PLR0913 - its one caller passes them by keyword
    request: RunRequest,
    choice: RunnerChoice,
    *,
    pipelines: Mapping[str, Pipeline],
    load_context: Callable[[], Context],
    hooks: PluginManager,
    session_data: Mapping[str, Any],
    observers: Sequence[Observer],
    inputs: Mapping[str, Any],
    durations: Callable[[], Mapping[str, float]] | None = None,
    past_runs: Callable[[], Sequence[RunTimes]] | None = None,
    versions: RunVersions | None = None,
    load_results: bool | Iterable[str] = False,
    claims: OutputClaims | None = None,
    cancellation: Cancellation | None = None,
    reuse: Reuse | None = None,
    number: int = 1,
    traceparent: str | None = None,
) -> RunResult:
    """Execute a run request and call the pipeline hooks.

    Args:
        request: the arguments of the run.
        choice: the runner to use; closed after the run unless the caller passed an instance.
        pipelines: the registered pipelines.
        load_context: returns the context; called after the nodes are selected, so a wrong name fails before `conf/` is read.
        hooks: the hook manager.
        session_data: the session's facts for the hooks.
        observers: receive the events of the run.
        inputs: values that replace catalog datasets in this run.
        durations: returns node durations of earlier sessions, in seconds.
        past_runs: returns the times of earlier runs, the latest first.
        versions: is filled with the pipeline, catalog and loaded versions of the run.
        load_results: the results to load before the run ends, as for `Session.run`.
        claims: tracks the files written by the runs of a service; None for a run outside a service.
        cancellation: by which another thread can stop the run; a custom runner may not support it.
        reuse: decides which nodes are up to date; None if every node runs.
        number: the number of the run in its session.
        traceparent: the span that started the session, if any (`treadle.trace_ids`).

    Returns:
        The result of the run.

    Raises:
        TreadleError: a name, the configuration or a dataset is invalid, or the run failed.
        KeyboardInterrupt: the run was interrupted; the `on_pipeline_error` hooks have been called. Or SystemExit, if a signal
            handler of the application exits.
    """
    with ExitStack() as stack:
        opened = _open_runner(request, choice, stack, starts_early=reuse is None or not reuse.skips)

        def check_runner() -> None:
            if isinstance(opened, RunnerError):
                raise opened

        prepared = prepare_run(request, pipelines, load_context, inputs, check_runner)
        pipeline, catalog, context = prepared.pipeline, prepared.catalog, prepared.context
        if reuse is not None:
            catalog = with_stored_values(catalog, pipeline, prepared.policies, reuse, context)
        versions = versions if versions is not None else RunVersions()
        versions.loaded, versions.pipeline, versions.catalog = dict(prepared.loaded), pipeline, catalog
        run_id = context.session_id
        run_params = {**session_data, **request.as_dict(), "runner": request.runner or opened.name, "run_id": run_id}
        try:
            call_hook(hooks, "before_pipeline_run", run_params=run_params, pipeline=pipeline, catalog=catalog)
            # Pass only the options that were given, because a custom runner may not accept them.
            assert not isinstance(opened, RunnerError)  # noqa: S101 - `prepare_run` has raised it
            options: dict[str, Any] = {"policies": prepared.policies} if prepared.policies is not NO_RULES else {}
            options |= {"on_failure": request.on_failure} if request.on_failure else {}
            options |= {"load_results": load_results} if load_results else {}
            if reuse is not None:
                seed = getattr(opened, "seed", None)
                decisions = reuse.decide(
                    pipeline,
                    catalog,
                    hooks=hooks,
                    rules=prepared.policies,
                    seed=seed,
                    other_nodes=partial(all_nodes, pipelines),
                )
                reuse.log_changes()
                options |= {"decisions": decisions} if decisions is not None else {}
            if claims is not None:
                stack.enter_context(claims.held(run_id, pipeline, catalog, runner=opened, loads_all=load_results is True))
            more = {"cancellation": cancellation, "past_runs": past_runs}
            method = getattr(opened.run, "__func__", opened.run)  # the same for each run of a service
            options |= {name: value for name, value in more.items() if value is not None and _accepts(method, name)}
            if asks_for_traces(os.environ):  # after the decisions: its hooks change no data
                from treadle.session.tracing import traced_nodes

                stack.enter_context(traced_nodes(hooks, opened, trace_of(run_id, traceparent), run_id, number))
            result = opened.run(
                pipeline, catalog, hooks=hooks, run_id=run_id, observers=observers, durations=durations, **options
            )
        except (Exception, *INTERRUPTS) as exc:
            name_place(exc, context.config_loader, catalog)
            _call_error_hook(hooks, exc, run_params, pipeline, catalog)
            raise
        call_hook(hooks, "after_pipeline_run", run_params=run_params, run_result=result, pipeline=pipeline, catalog=catalog)
        return result


@lru_cache(maxsize=16)  # a service runs many times
def _accepts(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function takes a keyword argument; a custom runner may not."""
    parameters = inspect.signature(function).parameters
    return name in parameters or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an error, like `BaseException.add_note` of Python 3.11.

    Args:
        error: any exception.
        text: the note.
    """
    error.__dict__.setdefault("__notes__", []).append(text)


def _open_runner(request: RunRequest, choice: RunnerChoice, stack: ExitStack, *, starts_early: bool) -> Runner | RunnerError:
    """Open the runner before the pipelines are imported, so that its workers start in the meantime if they will be needed.

    Returns:
        The runner; or the error, which is raised only after any error of the pipelines.
    """
    try:
        opened = stack.enter_context(choice.opened())
    except RunnerError as exc:
        return exc
    start_early = getattr(opened, "start_early", None)  # optional: a custom runner may not have it
    if start_early is not None and starts_early:
        stack.enter_context(start_early(_sources(request)))
    return opened


def _sources(request: RunRequest) -> Iterator[str]:
    """Yield the project's source files, except those in the folders of pipelines that do not run."""
    wanted = set(request.pipeline_names or (DEFAULT_PIPELINE,))
    for file, *_ in configured_project().stamp if is_configured() else ():
        _, found, below = file.rpartition(f"{os.sep}pipelines{os.sep}")
        if DEFAULT_PIPELINE in wanted or not found or os.sep not in below or below.partition(os.sep)[0] in wanted:
            yield file


def _call_error_hook(
    hooks: PluginManager, error: BaseException, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog
) -> None:
    try:
        call_hook(hooks, "on_pipeline_error", error=error, run_params=run_params, pipeline=pipeline, catalog=catalog)
    except HookError as broken:
        from treadle.execution.attempt.hooks import log_failed_error_hook

        log_failed_error_hook(_logger, hooks, "on_pipeline_error", broken, "the run, whose own error follows")
        add_note(error, f"A hook failed as well: {broken}")
