"""`treadle check`: check that every node can run in a worker, without running any. State: none.

Neighbours: `treadle.session.checking` finds the problems that are printed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options, values
from treadle.cli.annotations import annotate, is_annotating
from treadle.cli.failure import ExitCode
from treadle.cli.json_output import check_values, print_json
from treadle.cli.values import join_names, join_params
from treadle.errors import TreadleError
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.cli.options import Groups
    from treadle.execution.runners.preflight import Problem


@click.command()
@options.pipelines
@click.option(
    "--start-method",
    metavar="METHOD",
    help="How the worker is started: fork, spawn, forkserver or loky; by default as for a run.",
    shell_complete=completion.start_methods,
)
@click.option(
    "--runner",
    metavar="RUNNER",
    help="The runner whose worker is used, parallel (the default) or dask.",
    shell_complete=completion.runners,
)
@click.option(
    "--runner-params",
    multiple=True,
    type=values.params,
    metavar="PARAMS",
    help="Arguments of the runner: address=tcp://10.0.0.1:8786.",
)
@options.env
@options.params
@options.conf_source
@options.as_json
@click.pass_context
def check(  # noqa: PLR0913 - one for each flag
    context: click.Context,
    *,
    pipelines: Groups,
    start_method: str | None,
    runner: str | None,
    runner_params: tuple[Mapping[str, Any], ...],
    env: str | None,
    params: tuple[Mapping[str, Any], ...],
    conf_source: str | None,
    as_json: bool,
) -> None:
    """Check that every node can run in a worker process, without running any.

    A worker is started as for a run; it imports the project, unpickles every node's function and builds every dataset. All
    problems are listed with their nodes; the exit code is 1 if there are any.
    """
    from treadle.cli.location import check_environment, enter_any_project, session_class
    from treadle.execution.runners.registry import make_runner
    from treadle.session.checking import check_session

    project_path = enter_any_project(context)
    check_environment(project_path, env, conf_source)
    session = session_class().create(
        project_path, save_on_close=False, env=env, extra_params=join_params(params), conf_source=conf_source
    )
    made = make_runner(runner, join_params(runner_params)) if runner is not None else None
    if made is not None and not made.has_processes:
        msg = f"The nodes of runner '{runner}' run in this process, so there is no worker to check. Give parallel or dask."
        raise click.UsageError(msg)
    report = check_session(session, join_names(pipelines), start_method=start_method, runner=made)
    for problem in report.problems if is_annotating() else ():
        annotate(problem.message, traceback=problem.traceback, otherwise=_place_of_function(problem.nodes))
    if as_json:
        print_json("check", **check_values(report))
        if report.problems:
            raise click.exceptions.Exit(ExitCode.FAILED)
        return
    for number, problem in enumerate(report.problems, 1):
        _show(number, problem)
    for name in report.in_main:
        why = "because of its policy, its function or one of its datasets"
        click.echo(f"Node {printable(str(name))} will run in the main process, {why}.")
    checked = f"{report.nodes} nodes and {report.datasets} datasets"
    where = f"in a worker started by {report.start_method}" if report.start_method else "before any worker was started"
    if report.problems:
        click.echo(f"{len(report.problems)} problem{'s' * (len(report.problems) > 1)} in {checked}, checked {where}.")
        raise click.exceptions.Exit(ExitCode.FAILED)
    click.echo(f"No problem in {checked}, checked {where}.")


def _place_of_function(names: tuple[str, ...]) -> tuple[str, int] | None:
    """Return the file and line of the function of the first of some nodes; None if it has no source, or there are no nodes."""
    from pathlib import Path

    from treadle.inspection.source_lines import source_lines
    from treadle.project import configured_project

    pipelines = configured_project().pipelines
    for pipeline_name in pipelines if names else ():
        try:
            nodes = pipelines[pipeline_name].nodes
        except TreadleError:  # it is a problem of its own
            continue
        node = next((each for each in nodes if each.name == names[0]), None)
        lines = source_lines(node.func, [Path("/")]) if node is not None else None
        if lines is not None:
            return f"/{lines.file}", lines.first_line
    return None


def _show(number: int, problem: Problem) -> None:
    nodes = f"node{'s' * (len(problem.nodes) > 1)} {', '.join(problem.nodes)}" if problem.nodes else "the project"
    click.secho(f"{number}. {printable(nodes)}", bold=True)
    for line in (*problem.message.splitlines(), *problem.traceback.rstrip().splitlines()):
        click.echo(f"   {printable(line)}")
    click.echo()
