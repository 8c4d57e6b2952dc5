"""What happens between a request and its result: nodes selected, catalog made, hooks told, runner run.

No state. Neighbours: `session.py` calls `run_request` and records what comes of it; `selection.py` selects.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from treadle.planning import check_inputs
from treadle.session.locating import name_place
from treadle.session.selection import keep_missing, select_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pluggy import PluginManager

    from treadle.events import Observer
    from treadle.execution.result import RunResult
    from treadle.execution.runner import Runner
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.session.context import Context
    from treadle.session.request import RunRequest

_logger = logging.getLogger(__name__)


def run_request(  # noqa: PLR0913 - one caller, which names them all
    request: RunRequest,
    runner: str | Runner | None,
    *,
    pipelines: Mapping[str, Pipeline],
    load_context: Callable[[], Context],
    hooks: PluginManager,
    session_data: Mapping[str, Any],
    observers: Sequence[Observer],
    inputs: Mapping[str, Any],
    durations: Callable[[], Mapping[str, float]] | None = None,
) -> RunResult:
    """Run what was asked for, with the hooks around it.

    Args:
        request: what was asked for.
        runner: a Runner, which stays open; or a name, and then the runner is made and closed here.
        pipelines: the registered pipelines.
        load_context: gives the context, once the nodes are selected: a wrong name should not cost the reading of `conf/`.
        hooks: calls the hooks.
        session_data: what the session tells its hooks.
        observers: takers of the run's events.
        inputs: values that this run sees in place of what the catalog has.
        durations: gives the seconds that nodes took in earlier sessions.

    Returns:
        The result.

    Raises:
        TreadleError: a name, the configuration or a dataset is wrong, or the run failed.
        KeyboardInterrupt: the run was interrupted; the hooks were told.
    """
    with ExitStack() as stack:
        pipeline = select_pipeline(pipelines, request)
        check_inputs(pipeline, inputs)
        opened = _open_runner(request, runner, stack)
        context = load_context()
        catalog = context.catalog_with(request.load_versions)
        if inputs:
            catalog = catalog.with_data(inputs)
        if request.only_missing_outputs:
            pipeline = keep_missing(pipeline, catalog)
            if not pipeline.nodes:
                _logger.info("Nothing to run: every output that persists exists already.")
        run_id = context.session_id
        run_params = {**session_data, **request.as_dict(), "runner": request.runner or opened.name, "run_id": run_id}
        try:
            hooks.hook.before_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)
            result = opened.run(pipeline, catalog, hooks=hooks, run_id=run_id, observers=observers, durations=durations)
        except (Exception, KeyboardInterrupt) as exc:
            name_place(exc, context.config_loader, catalog)
            _tell_of_error(hooks, exc, run_params, pipeline, catalog)
            raise
        hooks.hook.after_pipeline_run(run_params=run_params, run_result=result, pipeline=pipeline, catalog=catalog)
        return result


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an error, as its `add_note` does from Python 3.11 on.

    Args:
        error: any exception.
        text: what to add.
    """
    error.__dict__.setdefault("__notes__", []).append(text)


def _open_runner(request: RunRequest, runner: str | Runner | None, stack: ExitStack) -> Runner:
    if runner is not None and not isinstance(runner, str):
        return runner
    from treadle.execution.registry import resolve_runner

    return stack.enter_context(resolve_runner(runner, request.runner_params))


def _tell_of_error(
    hooks: PluginManager, error: BaseException, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog
) -> None:
    try:
        hooks.hook.on_pipeline_error(error=error, run_params=run_params, pipeline=pipeline, catalog=catalog)
    except Exception as broken:
        _logger.exception("A hook failed in on_pipeline_error; the run's own error follows.")
        add_note(error, f"A hook failed in on_pipeline_error too: {type(broken).__name__}: {broken}")
