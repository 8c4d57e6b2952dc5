"""Options shared by several commands: pipelines, environment, params, configuration source. State: none.

Neighbours: `values.py` parses the values, `completion.py` completes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from treadle.cli import completion, values
from treadle.cli.invocation import PROJECT

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

Groups: TypeAlias = "tuple[tuple[str, ...], ...]"
"""The names given to an option, one tuple per occurrence of the option."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def names(
    *spellings: str,
    help: str,  # noqa: A002 - named as in click
    metavar: str = "NAMES",
    shell_complete: _Completer | None = None,
) -> Callable[[_Function], _Function]:
    """Create an option that takes a comma-separated list of names and may be repeated.

    Args:
        *spellings: spellings of the flag; the first determines the parameter's name.
        help: the help text.
        metavar: name of the value in the help text.
        shell_complete: completes the names.

    Returns:
        The decorator.
    """
    return click.option(*spellings, type=values.names, multiple=True, metavar=metavar, help=help, shell_complete=shell_complete)


pipelines = names(
    "--pipelines",
    "--pipeline",
    "-p",
    help="Names of pipelines; by default the pipeline __default__.",
    shell_complete=completion.pipelines,
)
env = click.option(
    "--env",
    "-e",
    metavar="ENV",
    help="The configuration environment: conf/ENV overrides conf/base, instead of conf/local.",
    shell_complete=completion.environments,
)
params = click.option(
    "--params",
    type=values.params,
    multiple=True,
    metavar="PARAMS",
    help="Params that override the configuration: model.depth=5,city=Paris.",
)
conf_source = click.option(
    "--conf-source", metavar="PATH", help="Configuration folder or archive, instead of the project's conf."
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _note_project(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[PROJECT] = path


project = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="PATH",
    is_eager=True,
    expose_value=False,
    callback=_note_project,
    help="The project's folder or a folder in it; by default the current folder.",
)
