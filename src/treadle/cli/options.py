"""The options that several commands share: pipelines, environment, params, source of configuration. Keeps no state.

Neighbours: `values.py` reads what is typed, `completion.py` completes it.
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
"""The names that were given to an option, by each time it was given."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def names(
    *spellings: str,
    help: str,  # noqa: A002 - click's word
    metavar: str = "NAMES",
    shell_complete: _Completer | None = None,
) -> Callable[[_Function], _Function]:
    """Make an option that takes names with commas between, and may be given several times.

    Args:
        *spellings: as the user may type it; the first gives the parameter's name.
        help: its line in the help.
        metavar: what its value is called there.
        shell_complete: completes the names.

    Returns:
        The decorator.
    """
    return click.option(*spellings, type=values.names, multiple=True, metavar=metavar, help=help, shell_complete=shell_complete)


pipelines = names(
    "--pipelines",
    "--pipeline",
    "-p",
    help="Names of pipelines; the default one where none is named.",
    shell_complete=completion.pipelines,
)
env = click.option(
    "--env",
    "-e",
    metavar="ENV",
    help="The configuration environment: conf/ENV over conf/base, in place of conf/local.",
    shell_complete=completion.environments,
)
params = click.option(
    "--params",
    type=values.params,
    multiple=True,
    metavar="PARAMS",
    help="Params over those of the configuration: model.depth=5,city=Paris.",
)
conf_source = click.option(
    "--conf-source", metavar="PATH", help="Folder or archive of configuration, in place of the project's conf."
)


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
    help="The project's folder, or one in it; by default the current folder.",
)
