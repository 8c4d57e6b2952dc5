"""`treadle catalog`: list, describe and validate the project's datasets, and resolve dataset patterns. State: none.

Neighbours: `treadle.planning.datasets` collects the facts that are printed here, `location.py` opens the project.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options
from treadle.cli.failure import ExitCode
from treadle.cli.groups import SuggestingGroup
from treadle.cli.json_output import dataset_values, print_json
from treadle.cli.values import join_names, join_params
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.cli.options import Groups
    from treadle.io import Catalog
    from treadle.io.validation.results import ValidationResult
    from treadle.pipeline import Pipeline
    from treadle.planning.datasets import DatasetFacts


@click.group(cls=SuggestingGroup)
def catalog() -> None:
    """List, describe and validate the project's datasets."""


@catalog.command("list")
@click.argument("pattern", required=False, metavar="[REGEX]")
@options.env
@options.params
@options.conf_source
@options.as_json
def list_datasets(
    *, pattern: str | None, env: str | None, params: tuple[Mapping[str, Any], ...], conf_source: str | None, as_json: bool
) -> None:
    """List the datasets and patterns that the catalog declares.

    Patterns are listed in matching order. REGEX selects datasets by name: treadle catalog list ^raw
    """
    from treadle.cli.location import load_context
    from treadle.cli.tables import aligned
    from treadle.planning.datasets import declared_datasets
    from treadle.session.locating import missing_catalog

    context = load_context(env=env, params=join_params(params), conf_source=conf_source)
    found = context.catalog
    wanted = set(found.list(pattern))
    declared = [facts for facts in declared_datasets(found) if facts.name in wanted]
    if as_json:
        print_json(
            "catalog", datasets=dataset_values(declared, nodes=False), patterns=found.patterns() if pattern is None else ()
        )
        return
    rows = [(facts.name, facts.type_name or "", _location(facts)) for facts in declared]
    if rows:
        for line in aligned([("DATASET", "TYPE", "LOCATION"), *rows]):
            click.echo(printable(line))
    else:
        click.echo(missing_catalog(context.config_loader) or "The catalog declares no matching dataset.")
    if found.patterns() and pattern is None:
        click.echo("\nPATTERNS, in matching order")
        for each in found.patterns():
            click.echo(printable(each))


@catalog.command("describe")
@options.pipelines
@options.env
@options.params
@options.conf_source
@options.as_json
def describe_catalog(
    *, pipelines: Groups, env: str | None, params: tuple[Mapping[str, Any], ...], conf_source: str | None, as_json: bool
) -> None:
    """Describe the datasets that pipelines use.

    Shows where each is declared, its type, its location, and the nodes that save and load it.
    """
    from treadle.cli.location import load_catalog
    from treadle.cli.tables import aligned
    from treadle.planning.datasets import describe_datasets

    found = load_catalog(env=env, params=join_params(params), conf_source=conf_source)
    described = describe_datasets(_joined(pipelines), found)
    if as_json:
        print_json("catalog", datasets=dataset_values(described, nodes=True), patterns=found.patterns())
        return
    rows = [
        (
            facts.name,
            facts.origin.value,
            facts.type_name or "",
            _location(facts),
            ", ".join(facts.made_by),
            ", ".join(facts.taken_by),
        )
        for facts in described
    ]
    for line in aligned([("DATASET", "SOURCE", "TYPE", "LOCATION", "SAVED BY", "LOADED BY"), *rows], below=3):
        click.echo(printable(line))


@catalog.command("resolve")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completion.datasets)
@options.pipelines
@options.env
@options.params
@options.conf_source
@options.as_json
def resolve_patterns(
    *,
    names: tuple[str, ...],
    pipelines: Groups,
    env: str | None,
    params: tuple[Mapping[str, Any], ...],
    conf_source: str | None,
    as_json: bool,
) -> None:
    """Print catalog entries as YAML, with patterns resolved.

    For the datasets NAME, or for all datasets of the pipelines that match a pattern. The output is valid in a catalog file.
    """
    import yaml

    from treadle.cli.location import load_catalog
    from treadle.planning.datasets import Origin, describe_datasets, resolved_entries

    found = load_catalog(env=env, params=join_params(params), conf_source=conf_source)
    wanted = names or [facts.name for facts in describe_datasets(_joined(pipelines), found) if facts.origin is Origin.PATTERN]
    entries = resolved_entries(wanted, found)
    others = {name: found[name] for name in wanted if name not in entries}  # raises for an unknown name, with close matches
    if as_json:
        print_json("catalog-entries", entries=entries, undeclared=list(others))
        return
    for name in others:
        click.echo(f"# {printable(name)} is not declared in a catalog file")
    if entries:
        click.echo(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), nl=False)
    elif not names:
        click.echo("# No dataset of the pipeline matches a pattern.")


@catalog.command("validate")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completion.datasets)
@options.pipelines
@options.env
@options.params
@options.conf_source
@options.as_json
def validate_datasets(
    *,
    names: tuple[str, ...],
    pipelines: Groups,
    env: str | None,
    params: tuple[Mapping[str, Any], ...],
    conf_source: str | None,
    as_json: bool,
) -> None:
    """Load datasets, and check them with their validators.

    The datasets NAME, or all datasets with a validator that the catalog declares or the pipelines use, and that exist. The exit
    code is 1 if data is refused or cannot be loaded; a validator with `severity: warn` does not change it.
    """
    from treadle.cli.annotations import annotate
    from treadle.cli.location import load_context
    from treadle.cli.tables import aligned
    from treadle.planning.datasets import declared_datasets, describe_datasets
    from treadle.session.locating import declared_in

    context = load_context(env=env, params=join_params(params), conf_source=conf_source)
    found = context.catalog
    known = [*declared_datasets(found), *(() if names else describe_datasets(_joined(pipelines), found))]
    wanted = names or [name for name in dict.fromkeys(each.name for each in known) if _is_to_validate(found, name)]
    results = [found.validate(name) for name in wanted]
    for result in results:
        if not result:
            place = declared_in(context.config_loader, result.dataset, found)
            annotate(f"{place}: {result.message}" if place is not None else result.message)
    if as_json:
        print_json("validation", results=[_result_values(each) for each in results])
    elif not results:
        click.echo("No dataset with a validator exists.")
    else:
        for line in aligned([("DATASET", "STATUS", "VALIDATOR"), *((e.dataset, e.status, e.validator or "") for e in results)]):
            click.echo(printable(line))
        for each in results:
            if each.status != "passed":
                click.echo(printable(f"\n{each.message}"))
    if not all(results):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _result_values(result: ValidationResult) -> dict[str, Any]:
    return {
        "dataset": result.dataset,
        "validator": result.validator,
        "status": result.status,
        "message": result.message,
        "failures": list(result.failures),
    }


def _is_to_validate(catalog: Catalog, name: str) -> bool:
    """Return whether a dataset has a validator that checks what is loaded, and data that can be loaded."""
    declared = catalog.validator_recipe(name)
    return declared is not None and "load" in declared.on and catalog.exists(name)


def _joined(groups: Groups) -> Pipeline:
    """Join the named pipelines of the configured project; by default, return the default pipeline."""
    from treadle.project import configured_project
    from treadle.project.pipelines import DEFAULT_PIPELINE

    named = join_names(groups) or [DEFAULT_PIPELINE]
    return functools.reduce(operator.add, [configured_project().pipelines[name] for name in named])


def _location(facts: DatasetFacts) -> str:
    notes = [*(["versioned"] if facts.versioned else []), *([f"by {facts.pattern}"] if facts.pattern else [])]
    return (facts.place or "") + (f" ({', '.join(notes)})" if notes else "")
