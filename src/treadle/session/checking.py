"""Check a project without running it: the pipelines, configuration and catalog that a session would use.

Job: collect the nodes of the named pipelines (a broken pipeline does not hide the problems of the others) and check them.
State: none. Neighbours: `treadle.execution.runners.preflight` checks the nodes; `treadle check` prints the report.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.errors import TreadleError
from treadle.execution.runners.preflight import CheckReport, Problem, check_pipeline
from treadle.planning import wrong_parameters
from treadle.planning.files import contested_files, missing_inputs
from treadle.planning.policies import NO_RULES, plan_policies
from treadle.project import configured_project
from treadle.session.locating import declared_in, missing_catalog
from treadle.session.policies import configured_policies
from treadle.session.selection import DEFAULT_PIPELINE

if TYPE_CHECKING:
    from treadle.execution.runners.runner import Runner
    from treadle.pipeline import Pipeline
    from treadle.session.session import Session


def check_session(
    session: Session,
    pipeline_names: Iterable[str] | None = None,
    *,
    start_method: str | None = None,
    runner: Runner | None = None,
) -> CheckReport:
    """Check that every node of the pipelines could run in a worker, without running any.

    Args:
        session: provides the configuration, params, catalog and hooks.
        pipeline_names: the pipelines to check; the default pipeline if None. If the default pipeline cannot be built, each
            registered pipeline is checked on its own.
        start_method: how the worker is started; if None, chosen as for a run.
        runner: runs the checks; None for a process of this machine.

    Returns:
        The problems found.

    Raises:
        TreadleError: the pipeline registry is broken, or a pipeline name is unknown.
    """
    wanted = list(pipeline_names or (DEFAULT_PIPELINE,))
    pipelines, problems = _collect(wanted)
    if problems and wanted == [DEFAULT_PIPELINE]:
        # The default pipeline is usually the sum of the others: check those that can be built.
        others = [name for name in configured_project().pipelines if name != DEFAULT_PIPELINE]
        pipelines, found = _collect(others)
        problems = found or problems
    try:
        context = session.load_context()
        catalog = context.catalog
    except TreadleError as exc:
        return CheckReport(problems=(*problems, Problem(_text(exc))))
    try:
        joined = functools.reduce(operator.add, pipelines) if pipelines else None
    except TreadleError as exc:
        return CheckReport(problems=(*problems, Problem(_text(exc))))
    if joined is None:
        return CheckReport(problems=tuple(problems))
    policies = NO_RULES
    try:
        policies = configured_policies(context.config_loader, configured_project().pipelines, joined)
        _ = plan_policies(joined.nodes, policies)
    except TreadleError as exc:
        problems.append(Problem(_text(exc)))
        policies = NO_RULES
    problems += [Problem(_text(exc)) for exc in wrong_parameters(joined, catalog)]
    files = [*missing_inputs(joined, catalog), *contested_files(joined, catalog)]
    report = check_pipeline(
        joined, catalog, hooks=context.hook_manager, start_method=start_method, policies=policies, runner=runner
    )
    if report.problems and (missing := missing_catalog(context.config_loader)) is not None:
        problems.append(Problem(missing))
    found_in_files = tuple(Problem(wrong.message, wrong.nodes, wrong.dataset) for wrong in files)
    report = replace(report, problems=(*report.problems, *found_in_files))
    placed = [_placed(problem, declared_in(context.config_loader, problem.dataset, catalog)) for problem in report.problems]
    return replace(report, problems=(*problems, *placed))


def _placed(problem: Problem, place: str | None) -> Problem:
    return problem if place is None else replace(problem, message=f"{place}: {problem.message}")


def _collect(names: Iterable[str]) -> tuple[list[Pipeline], list[Problem]]:
    registered = configured_project().pipelines
    pipelines: list[Pipeline] = []
    problems: list[Problem] = []
    for name in names:
        try:
            pipelines.append(registered[name])
        except TreadleError as exc:
            if name not in registered:  # an unknown name is the caller's mistake, not a problem of the project
                raise
            problems.append(Problem(f"Pipeline '{name}': {_text(exc)}"))
    return pipelines, problems


def _text(error: TreadleError) -> str:
    return str(error.args[0])
