"""Warnings of params that were probably misspelt: `--params revenue.shar=0.5` where the configuration has `revenue.share`.

A session may be given any param, so a param that the configuration does not have is no error. But one that is nearly the name of
another, and that nothing reads, leaves the run with the old value.

No state. Neighbours: `running.py` asks before a run; the config loader knows the files.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.session.context import Context

_logger = logging.getLogger(__name__)
_PREFIX = "params:"


def warn_of_unknown_params(context: Context, pipeline: Pipeline) -> None:
    """Log a warning for each param of a session that is nearly the name of another one, and that nothing reads.

    Args:
        context: has the params of the session, and the configuration.
        pipeline: the nodes that will run.
    """
    declared = getattr(context.config_loader, "unresolved", None)  # a loader of the project's own cannot tell
    if not context.extra_params or declared is None:
        return
    taken = [name.removeprefix(_PREFIX) for name in pipeline.inputs() if name.startswith(_PREFIX)]
    for path, close in _misspelt(context.extra_params, declared("parameters"), ()):
        name = ".".join(path)
        mention = re.compile(r"\bruntime_params:\s*" + re.escape(name) + r"\b")
        if _is_taken(name, taken) or any(_matches(declared(kind), mention) for kind in context.config_loader):
            continue
        _logger.warning(
            "The configuration has no parameter %r, and no node takes it. Did you mean %r? That keeps its value.",
            name,
            ".".join((*path[:-1], close)),
        )


def _misspelt(given: Mapping[Any, Any], declared: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each key that is missing where a key nearly like it is."""
    if not isinstance(declared, Mapping):
        return
    names = [str(key) for key in declared if key not in given]
    for key, value in given.items():
        path = (*above, str(key))
        if key in declared:
            if isinstance(value, Mapping):
                yield from _misspelt(value, declared[key], path)
        elif close := difflib.get_close_matches(str(key), names, n=1, cutoff=0.75):
            yield path, close[0]


def _is_taken(name: str, taken: Iterable[str]) -> bool:
    """Say whether a node takes a param, or one within it, by its name."""
    return any(each == name or each.startswith(f"{name}.") for each in taken)


def _matches(value: Any, wanted: re.Pattern[str]) -> bool:
    """Say whether a text of the configuration has an interpolation."""
    if isinstance(value, str):
        return wanted.search(value) is not None
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_matches(each, wanted) for each in items)
