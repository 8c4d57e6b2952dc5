"""Node policies of a Kedro project: `conf/<env>/execution.yml`, read by Kedro's own config loader. State: none."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from treadle.errors import ConfigError
from treadle.kedro.nodes import KedroNode
from treadle.planning.policies import NO_RULES, PolicyRules, read_policies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.kedro.session import SessionInfo
    from treadle.pipeline import Node

_KEY = "execution"
_FILES = ("execution.yml", "execution.yaml", "execution.json")
"""Read directly from an environment's folder; files of this name elsewhere belong to the project."""


def read_rules(session: SessionInfo, nodes: Iterable[KedroNode]) -> PolicyRules:
    """Read the policies of a run's nodes.

    Args:
        session: the session's configuration and arguments.
        nodes: the nodes of the run.

    Returns:
        The rules; empty if the project has no such file.

    Raises:
        ConfigError: the file cannot be read, or it contains an unknown key, an invalid value, or an unknown node or tag.
    """
    if session.loader is None:
        return NO_RULES
    return read_policies(
        _content(session.loader),
        file=_file(session),
        nodes=cast("Iterable[Node]", nodes),
        other_nodes=lambda: cast("Iterable[Node]", _all_nodes()),
    )


def _content(loader: Any) -> Any:
    from kedro.config import MissingConfigException

    patterns = getattr(loader, "config_patterns", None)
    if isinstance(patterns, dict) and _KEY not in patterns:
        loader = copy.copy(loader)  # the project's own loader is not modified
        loader.config_patterns = {**patterns, _KEY: list(_FILES)}
    try:
        return loader[_KEY]
    except (KeyError, MissingConfigException):
        return None
    except Exception as exc:
        msg = f"The execution configuration cannot be read: {exc}"
        raise ConfigError(msg, key=_KEY) from exc


def _file(session: SessionInfo) -> str:
    """Name the file for messages."""
    loader, folder = session.loader, Path(str(session.loader.conf_source))
    environments = (session.env or getattr(loader, "default_run_env", None), getattr(loader, "base_env", None))
    paths = [folder / each / name for each in environments if each for name in _FILES]
    found = [path for path in paths if path.is_file()]
    return " or ".join(map(str, found)) or str(folder / _FILES[0])


def _all_nodes() -> tuple[KedroNode, ...]:
    """Return the nodes of every registered pipeline, importing those that the session did not request."""
    from kedro.framework.project import pipelines

    if hasattr(pipelines, "set_requested"):
        pipelines.set_requested(None)
    return tuple(KedroNode(node) for pipeline in pipelines.values() for node in pipeline.nodes)
