"""Shell completion of names: pipelines, nodes, datasets, environments, sessions, runners, start methods.

click calls these functions while the user types. An error would disturb the prompt, so then there are no completions.
State: none. The options of commands refer to these functions; docs/command-line.md describes how to enable completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import click

    from treadle.pipeline import Node

_Completer = Callable[["click.Context", "click.Parameter", str], list[CompletionItem]]


def _completer(find: Callable[[click.Context], Iterable[str]]) -> _Completer:
    """Create a completer of names; after a comma, it completes the next name."""

    def complete(context: click.Context, _parameter: click.Parameter, text: str) -> list[CompletionItem]:
        before, comma, prefix = text.rpartition(",")
        try:
            names = sorted(set(find(context)))
        except Exception:  # noqa: BLE001 - a broken project has no completions, and an error would disturb the prompt
            return []
        return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(prefix)]

    return complete


def _pipelines(_context: click.Context) -> Iterable[str]:
    from treadle.cli.location import enter_project
    from treadle.project import configured_project

    enter_project()
    return configured_project().pipelines


def _nodes(context: click.Context) -> Iterable[Node]:
    """Return the nodes of the pipelines given so far on the command line; by default, those of the default pipeline."""
    from treadle.cli.location import enter_project
    from treadle.cli.values import join_names
    from treadle.project import configured_project
    from treadle.project.pipelines import DEFAULT_PIPELINE

    enter_project()
    named = join_names(context.params.get("pipelines") or ()) or [DEFAULT_PIPELINE]
    return [node for name in named for node in configured_project().pipelines[name].nodes]


def _environments(_context: click.Context) -> Iterable[str]:
    from treadle.cli.location import enter_project
    from treadle.config.source import open_source
    from treadle.project import configured_project

    root = enter_project().project_path
    return open_source(root / configured_project().settings.CONF_SOURCE).environments()


def _sessions(_context: click.Context) -> Iterable[str]:
    from contextlib import closing

    from treadle.cli.location import enter_project, session_store
    from treadle.observe.store.newest import newest_sessions

    metadata = enter_project()
    with closing(session_store(metadata.project_path)) as store:
        return [each.session_id for each in newest_sessions(store, metadata.package_name, 100)]


def _runners(_context: click.Context) -> Iterable[str]:
    from treadle.execution.runners.registry import runner_names

    return runner_names()


def _start_methods(_context: click.Context) -> Iterable[str]:
    from treadle.execution.processes.start_method import available_start_methods

    return [method.value for method in available_start_methods()]


pipelines = _completer(_pipelines)
nodes = _completer(lambda context: [node.name for node in _nodes(context)])
tags = _completer(lambda context: [tag for node in _nodes(context) for tag in node.tags])
namespaces = _completer(lambda context: [node.namespace for node in _nodes(context) if node.namespace])
datasets = _completer(lambda context: [name for node in _nodes(context) for name in (*node.inputs, *node.outputs)])
environments = _completer(_environments)
sessions = _completer(_sessions)
runners = _completer(_runners)
start_methods = _completer(_start_methods)
