"""Read the execution policies of a project from its `execution.yml`.

State: none. Neighbours: `treadle.planning.policies` parses the content; `running.py`, `checking.py` and `what_if.py` call this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import MissingConfigError, TreadleError
from treadle.planning.policies import NO_RULES, PolicyRules, read_policies
from treadle.session.locating import is_optional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.pipeline import Node, Pipeline

_KIND = "execution"


def configured_policies(config_loader: Any, pipelines: Mapping[str, Pipeline], pipeline: Pipeline) -> PolicyRules:
    """Read the configured policies, which override those of the nodes.

    Args:
        config_loader: reads the configuration; a custom loader may not know this kind.
        pipelines: the registered pipelines; they are searched only for a name that the running pipeline does not have.
        pipeline: the pipeline to run.

    Returns:
        The rules.

    Raises:
        ConfigError: a file, key or value is invalid, or a policy names a node or tag that no pipeline has.
    """
    config: Any = None
    try:
        if _KIND in config_loader:
            config = config_loader[_KIND]
    except MissingConfigError as exc:
        if not is_optional(exc, _KIND):
            raise
    except TypeError:  # a custom loader without `__contains__`
        pass
    if not config:
        return NO_RULES
    locate = getattr(config_loader, "locate", None)
    return read_policies(
        config,
        locate=(lambda path: locate(_KIND, path)) if locate is not None else None,
        nodes=pipeline.nodes,
        other_nodes=lambda: all_nodes(pipelines),
    )


def all_nodes(pipelines: Mapping[str, Pipeline]) -> list[Node] | None:
    """Return the nodes of all pipelines; None if a pipeline is broken, because its nodes are unknown.

    Args:
        pipelines: the registered pipelines.
    """
    try:
        return [node for name in pipelines for node in pipelines[name].nodes]
    except TreadleError:
        return None
