"""`treadle run`: run the project's pipelines. State: none.

Neighbours: `values.py` parses flag values, `flags_file.py` reads flags from a file, `display.py` shows the run.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options, values
from treadle.cli.flags_file import fill_flags
from treadle.cli.invocation import typed_command
from treadle.cli.options import names
from treadle.cli.values import join_names, join_params
from treadle.collector import collection_paused, freeze_imports, has_frozen_imports
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.cli.options import Groups
    from treadle.session import Session


@click.command()
@options.pipelines
@click.option(
    "--runner",
    "-r",
    metavar="RUNNER",
    help="sequential (the default), thread, parallel, auto (the fastest of these), the name of a plugin's runner, or the dotted "
    "path of a runner class.",
    shell_complete=completion.runners,
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="How many nodes run at the same time, like --runner-params max_workers=NUMBER; more than one selects the parallel "
    "runner unless --runner is given. By default the number of cores.",
)
@click.option(
    "--runner-params",
    type=values.params,
    multiple=True,
    metavar="PARAMS",
    help="Arguments of the runner: max_workers=4,start_method=spawn.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Make the random numbers of each node reproducible: they depend only on this number and the node's name.",
)
@click.option("--async", "is_async", is_flag=True, help="Load and save the datasets of each node concurrently, in threads.")
@click.option(
    "--on-failure",
    type=click.Choice(["stop", "continue"]),
    help="After a failed node: start no more nodes (stop, the default), or run the nodes that do not depend on it (continue).",
)
@options.env
@names("--tags", "--tag", "-t", metavar="TAGS", help="Only nodes with one of these tags.", shell_complete=completion.tags)
@names("--nodes", "--node", "-n", help="Only these nodes.", shell_complete=completion.nodes)
@names("--from-nodes", help="Only these nodes and their descendants.", shell_complete=completion.nodes)
@names("--to-nodes", help="Only these nodes and their ancestors.", shell_complete=completion.nodes)
@names(
    "--from-inputs",
    metavar="DATASETS",
    help="Only nodes that load these datasets, and their descendants.",
    shell_complete=completion.datasets,
)
@names(
    "--to-outputs",
    metavar="DATASETS",
    help="Only nodes that save these datasets, and their ancestors.",
    shell_complete=completion.datasets,
)
@click.option(
    "--load-versions",
    type=values.load_versions,
    multiple=True,
    metavar="VERSIONS",
    help="Versions of versioned datasets to load: model:2026-01-31T12.00.00.000Z.",
)
@names("--namespaces", "--namespace", "-ns", help="Only nodes of these namespaces.", shell_complete=completion.namespaces)
@options.params
@click.option(
    "--config",
    "-c",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=fill_flags,
    metavar="FILE",
    help="A YAML or JSON file of flags; flags on the command line override it.",
)
@options.conf_source
@click.option("--only-missing-outputs", is_flag=True, help="Only nodes needed for persistent outputs that do not exist yet.")
@click.option(
    "--skip-unchanged",
    is_flag=True,
    help="Do not run nodes that are up to date: their code, params, inputs and outputs are as at their last success.",
)
@click.option("--force", is_flag=True, help="With --skip-unchanged or --resume: run all nodes, whether up to date or not.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="last",
    metavar="[ID]",
    help="Continue a session that failed, was interrupted or was lost, by default the newest one: repeat its run, but only the "
    "nodes that are not done. Other flags override those of that session.",
    shell_complete=completion.sessions,
)
@click.option("--dry-run", is_flag=True, help="Show which nodes would run, why, and how long it takes; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report of the run to this HTML file, also if the run fails.",
)
@click.option("--no-record", is_flag=True, help="Do not record this run; `treadle sessions` will not show it.")
@click.option("--quiet", "-q", is_flag=True, help="Show only warnings, errors and the output of nodes, no progress.")
@click.option("--verbose", "-v", is_flag=True, help="Show all log records of Treadle and the project, including DEBUG.")
@options.project
@click.pass_context
def run(  # noqa: PLR0913 - one argument per flag
    context: click.Context,
    *,
    pipelines: Groups,
    runner: str | None,
    workers: int | None,
    runner_params: tuple[Mapping[str, Any], ...],
    seed: int | None,
    is_async: bool,
    on_failure: str | None,
    env: str | None,
    tags: Groups,
    nodes: Groups,
    from_nodes: Groups,
    to_nodes: Groups,
    from_inputs: Groups,
    to_outputs: Groups,
    load_versions: tuple[Mapping[str, str], ...],
    namespaces: Groups,
    params: tuple[Mapping[str, Any], ...],
    conf_source: str | None,
    only_missing_outputs: bool,
    skip_unchanged: bool,
    force: bool,
    resume: str | None,
    dry_run: bool,
    as_json: bool,
    report: Path | None,
    no_record: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run the project's pipelines.

    Flags that take several values accept a comma-separated list, and may be repeated. A node runs if it passes every filter.

    \b
    treadle run --runner parallel
    treadle run --workers 4 --runner-params start_method=spawn
    treadle run --pipelines train --params model.depth=5 --from-nodes split
    treadle run --config nightly.yml
    """  # noqa: D301 - \b tells click not to rewrap the following lines
    from treadle.cli.display import change_levels, run_session
    from treadle.cli.location import enter_any_project, session_class, start_logging

    if as_json and not dry_run:
        message = "--json needs --dry-run. The record of a run as JSON: treadle sessions show ID --json."
        raise click.UsageError(message)
    _import_sessions()
    project_path = enter_any_project(context)
    given = join_params(params)
    if given:
        _refuse_masked(given)
    start_logging(project_path, conf_source)
    change_levels(quiet=quiet, verbose=verbose)
    if workers is not None:
        runner_params = (*runner_params, {"max_workers": workers})
        runner = runner or ("parallel" if workers > 1 else None)
    arguments: dict[str, Any] = {
        "pipeline_names": join_names(pipelines),
        "tags": join_names(tags),
        "node_names": join_names(nodes),
        "from_nodes": join_names(from_nodes),
        "to_nodes": join_names(to_nodes),
        "from_inputs": join_names(from_inputs),
        "to_outputs": join_names(to_outputs),
        "load_versions": join_params(load_versions),
        "namespaces": join_names(namespaces),
        "only_missing_outputs": only_missing_outputs,
    }

    # Pass only what is given, because a project's own session class may not accept it.
    continues: dict[str, Any] = {"resume": resume} if resume is not None else {}
    skipping: dict[str, Any] = {"skip_unchanged": True} if skip_unchanged else {}
    skipping |= {"force": True} if force else {}

    created: list[Session] = []

    def create() -> Session:
        session: Session = session_class().create(
            project_path,
            save_on_close=not no_record,
            env=env,
            extra_params=given,
            conf_source=conf_source,
            command=typed_command(context),
            **continues,
        )
        created.append(session)
        return session

    runner_values = join_params((*runner_params, {"is_async": True} if is_async else {}, {} if seed is None else {"seed": seed}))
    if dry_run:
        from treadle.cli.status import show_status

        skips = skip_unchanged or resume is not None
        count = (runner_values or {}).get("max_workers") or (os.cpu_count() if runner == "parallel" else 1)
        status = create().status(force=force or not skips, runner=runner, runner_params=runner_values, **arguments)
        show_status(status, as_json=as_json, workers=count, skips=skips or force)
        return
    has_succeeded = False
    try:
        run_session(
            context,
            create,
            lambda session, observer: session.run(
                **arguments,
                runner=runner,
                on_failure=on_failure,
                runner_params=runner_values,
                observers=(observer,),
                **skipping,
            ),
        )
        has_succeeded = True
    finally:
        if report is not None and created:
            _write_report(created[0], report, raises=has_succeeded)


MODULES_OF_EVERY_RUN = (
    "treadle.session.session",
    "treadle.config.loader",
    "treadle.hooks.manager",
    "treadle.execution.runners.compiling",
    "treadle.execution.runners.registry",
    "treadle.io.catalog",
    "yaml",
)
"""Modules that every run imports; most of them import others."""


def _import_sessions() -> None:
    """Import what every run needs before the project's code, so that it can be excluded from garbage collection."""
    from treadle.project import is_configured

    if has_frozen_imports() and not is_configured():
        freeze_imports(*MODULES_OF_EVERY_RUN)
    else:
        with collection_paused():  # it would traverse all modules again and again
            import_module("treadle.session.session")


def _write_report(session: Session, file: Path, *, raises: bool) -> None:
    """Write the report of a session that has ended; after a run that failed, a problem is only printed."""
    from treadle.errors import TreadleError

    try:
        session.report().save(file)
    except TreadleError as exc:
        if raises:
            raise
        click.echo(printable(str(exc)), err=True)


def _refuse_masked(params: Mapping[str, Any]) -> None:
    """Raise if a param is still masked, because the command was copied from an error or a record."""
    from treadle.session.rerun import masked_names

    masked = list(masked_names(params))
    if masked:
        message = f"The value of {', '.join(masked)} is masked. Replace *** with the secret."
        raise click.BadParameter(message, param_hint="--params")
