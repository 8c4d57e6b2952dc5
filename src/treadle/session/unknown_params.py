"""Warn about params that are probably misspelt: `--params revenue.shar=0.5` where the configuration has `revenue.share`.

A session accepts any param, so a param that the configuration does not have is no error. But if its name is similar to another
param and nothing reads it, the run would silently use the old value.

State: none. Neighbours: `running.py` calls this before a run; the config loader has the declared params.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from treadle.parameter_names import PARAMETER_PREFIX
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.session.context import Context

_logger = logging.getLogger(__name__)


def warn_about_unknown_params(context: Context, pipeline: Pipeline) -> None:
    """Log a warning for each param of a session that nothing reads and whose name is similar to a declared param.

    Args:
        context: provides the params of the session and the configuration.
        pipeline: the nodes to run.
    """
    declared = getattr(context.config_loader, "unresolved", None)  # a custom loader may not have it
    if declared is None:
        return
    used = [name.removeprefix(PARAMETER_PREFIX) for name in pipeline.inputs() if name.startswith(PARAMETER_PREFIX)]
    for path, close in _misspelt(context.extra_params, declared("parameters"), ()):
        name = ".".join(path)
        mention = re.compile(r"\bruntime_params:\s*" + re.escape(name) + r"\b")
        if _is_used(name, used) or any(_matches(declared(kind), mention) for kind in context.config_loader):
            continue
        _logger.warning(
            "The configuration has no parameter %r, and no node uses it, so it has no effect.%s",
            name,
            did_you_mean([".".join((*path[:-1], close))]),
        )


def _misspelt(given: Mapping[Any, Any], declared: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each undeclared key with a similar declared key, and that key."""
    if not isinstance(declared, Mapping):
        return
    names = [str(key) for key in declared if key not in given]
    for key, value in given.items():
        path = (*above, str(key))
        if key in declared:
            if isinstance(value, Mapping):
                yield from _misspelt(value, declared[key], path)
        elif close := close_names(key, names, most=1, cutoff=0.75):
            yield path, close[0]


def _is_used(name: str, used: Iterable[str]) -> bool:
    """Return whether a node uses a param, or a param nested in it, by name."""
    return any(each == name or each.startswith(f"{name}.") for each in used)


def _matches(value: Any, wanted: re.Pattern[str]) -> bool:
    """Return whether any string of the configuration matches a pattern."""
    if isinstance(value, str):
        return wanted.search(value) is not None
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_matches(each, wanted) for each in items)
