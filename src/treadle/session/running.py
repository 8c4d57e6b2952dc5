"""What happens between a request and its result: nodes selected, catalog made, hooks told, runner run.

No state. Neighbours: `session.py` calls `run_request`, `selection.py` selects.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError, RunnerError
from treadle.planning import check_inputs
from treadle.planning.policies import NO_RULES
from treadle.project.configure import configured_project, is_configured
from treadle.session.hooking import call_hook
from treadle.session.locating import name_place
from treadle.session.policies import configured_policies
from treadle.session.selection import DEFAULT_PIPELINE, keep_missing, select_pipeline
from treadle.session.unknown_params import warn_of_unknown_params
from treadle.session.versions import RunVersions, check_load_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pluggy import PluginManager

    from treadle.events import Observer
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.choice import RunnerChoice
    from treadle.execution.runners.runner import Runner
    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.session.claims import OutputClaims
    from treadle.session.context import Context
    from treadle.session.request import RunRequest

_logger = logging.getLogger(__name__)


def run_request(  # noqa: PLR0913 - one caller, which names them all
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
    versions: RunVersions | None = None,
    load_results: bool | Iterable[str] = False,
    claims: OutputClaims | None = None,
) -> RunResult:
    """Run what was asked for, with the hooks around it.

    Args:
        request: what was asked for.
        choice: which runner runs it; one that is not the caller's own is made and closed here.
        pipelines: the registered pipelines.
        load_context: gives the context, once the nodes are selected: a wrong name should not cost the reading of `conf/`.
        hooks: calls the hooks.
        session_data: what the session tells its hooks.
        observers: takers of the run's events.
        inputs: values that this run sees in place of what the catalog has.
        durations: gives the seconds that nodes took in earlier sessions.
        versions: takes what comes to be known of the run's versions.
        load_results: the results to load before the run ends, as `Session.run` takes them.
        claims: the files that other runs of the same service are writing; None where this run is alone.

    Returns:
        The result.

    Raises:
        TreadleError: a name, the configuration or a dataset is wrong, or the run failed.
        KeyboardInterrupt: the run was interrupted; the hooks were told.
    """
    with ExitStack() as stack:
        opened = _open_runner(request, choice, stack)
        pipeline = select_pipeline(pipelines, request)
        check_inputs(pipeline, inputs)
        if isinstance(opened, RunnerError):
            raise opened
        context = load_context()
        warn_of_unknown_params(context, pipeline)
        policies = configured_policies(context.config_loader, pipelines, pipeline)
        catalog = context.catalog_with(request.load_versions)
        check_load_versions(catalog, pipeline, request.load_versions, context.config_loader)
        if inputs:
            catalog = catalog.with_data(inputs)
        if request.only_missing_outputs:
            pipeline = keep_missing(pipeline, catalog)
            if not pipeline.nodes:
                _logger.info("Nothing to run: every output that persists exists already.")
        # Other runs may save newer versions meanwhile: all nodes of this one load what is the newest now.
        versions = versions if versions is not None else RunVersions()
        versions.loaded = {**request.load_versions, **catalog.pin_versions(pipeline.inputs().difference(inputs))}
        versions.pipeline, versions.catalog = pipeline, catalog
        run_id = context.session_id
        run_params = {**session_data, **request.as_dict(), "runner": request.runner or opened.name, "run_id": run_id}
        try:
            call_hook(hooks, "before_pipeline_run", run_params=run_params, pipeline=pipeline, catalog=catalog)
            # Only what was said: a project's own runner may take neither.
            said: dict[str, Any] = {"policies": policies} if policies is not NO_RULES else {}
            said |= {"on_failure": request.on_failure} if request.on_failure else {}
            said |= {"load_results": load_results} if load_results else {}
            if claims is not None:
                stack.enter_context(claims.held(run_id, pipeline, catalog, warn=load_results is not True))
            result = opened.run(pipeline, catalog, hooks=hooks, run_id=run_id, observers=observers, durations=durations, **said)
        except (Exception, KeyboardInterrupt) as exc:
            name_place(exc, context.config_loader, catalog)
            _tell_of_error(hooks, exc, run_params, pipeline, catalog)
            raise
        call_hook(hooks, "after_pipeline_run", run_params=run_params, run_result=result, pipeline=pipeline, catalog=catalog)
        return result


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an error, as its `add_note` does from Python 3.11 on.

    Args:
        error: any exception.
        text: what to add.
    """
    error.__dict__.setdefault("__notes__", []).append(text)


def _open_runner(request: RunRequest, choice: RunnerChoice, stack: ExitStack) -> Runner | RunnerError:
    """Open the runner before the pipelines are imported, so that its processes start meanwhile.

    Returns:
        The runner; or why there is none, which is raised only after the errors of the pipelines.
    """
    try:
        opened = stack.enter_context(choice.opened())
    except RunnerError as exc:
        return exc
    ahead = getattr(opened, "ahead", None)  # a program's own runner need not have it
    if ahead is not None:
        stack.enter_context(ahead(_sources(request)))
    return opened


def _sources(request: RunRequest) -> Iterator[str]:
    """Yield the project's source files, without those in the folders of other pipelines than those that were named."""
    wanted = set(request.pipeline_names or (DEFAULT_PIPELINE,))
    for file, *_ in configured_project().stamp if is_configured() else ():
        _, found, below = file.rpartition(f"{os.sep}pipelines{os.sep}")
        if DEFAULT_PIPELINE in wanted or not found or os.sep not in below or below.partition(os.sep)[0] in wanted:
            yield file


def _tell_of_error(
    hooks: PluginManager, error: BaseException, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog
) -> None:
    try:
        call_hook(hooks, "on_pipeline_error", error=error, run_params=run_params, pipeline=pipeline, catalog=catalog)
    except HookError as broken:
        trace = broken.failure.traceback if broken.failure is not None else ""
        _logger.error("A hook failed in on_pipeline_error; the run's own error follows.\n%s", trace)  # noqa: TRY400 - without our frames
        add_note(error, f"Besides: {broken}")
