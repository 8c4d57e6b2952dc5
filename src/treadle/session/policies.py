"""What a project's `execution.yml` says of how its nodes are to be run.

State: none. Neighbours: `treadle.planning.policies` reads the content; `running.py`, `checking.py` and `what_if.py` ask here.
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
    """Read the policies that configuration lays over those of the nodes.

    Args:
        config_loader: reads the configuration; a project's own may know no such kind.
        pipelines: the registered pipelines. They are looked at only where a name is none of the pipeline's that runs: it may be
            a node of another one.
        pipeline: what runs.

    Returns:
        The rules.

    Raises:
        ConfigError: a file, a key or a value is wrong, or a policy is for a node or tag that no pipeline has.
    """
    config: Any = None
    try:
        if _KIND in config_loader:
            config = config_loader[_KIND]
    except MissingConfigError as exc:
        if not is_optional(exc, _KIND):
            raise
    except TypeError:  # a loader that cannot be asked what it knows
        pass
    if not config:
        return NO_RULES
    locate = getattr(config_loader, "locate", None)
    return read_policies(
        config,
        locate=(lambda path: locate(_KIND, path)) if locate is not None else None,
        nodes=pipeline.nodes,
        other_nodes=lambda: _all_nodes(pipelines),
    )


def _all_nodes(pipelines: Mapping[str, Pipeline]) -> list[Node] | None:
    """Return the nodes of all pipelines; None where one of them is broken, and nobody can say what it has."""
    try:
        return [node for name in pipelines for node in pipelines[name].nodes]
    except TreadleError:
        return None
