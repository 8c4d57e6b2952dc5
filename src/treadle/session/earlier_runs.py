"""What a run learns from the records of earlier ones: how long nodes take, and how long whole runs took. State: none.

Both only make a run faster, so a store that cannot provide them fails no run. Neighbours: `recording.py` has the store; the
scheduler takes the durations of nodes, the runner `auto` the times of runs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from treadle.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.store import SessionStore
    from treadle.planning.run_times import RunTimes

_logger = logging.getLogger(__name__)


def past_seconds(store: SessionStore | None, package_name: str) -> Mapping[str, float]:
    """Return how long nodes took in a project's earlier sessions.

    Args:
        store: the store of the sessions, if it can be used.
        package_name: the project's package.

    Returns:
        Seconds by node; empty if the store cannot provide them.
    """
    durations = getattr(store, "durations", None)  # optional: a custom store may not have it
    if durations is None:
        return {}
    try:
        known: Mapping[str, float] = durations(package_name=package_name)
    except StoreError as exc:
        _logger.warning("Node durations of earlier sessions cannot be read, so nodes are scheduled without them: %s", exc)
        return {}
    return known


def past_runs(store: SessionStore | None, package_name: str) -> Sequence[RunTimes]:
    """Return the times of a project's earlier runs.

    Args:
        store: the store of the sessions, if it can be used.
        package_name: the project's package.

    Returns:
        The times, those of the latest run first; empty if the store cannot provide them.
    """
    run_times = getattr(store, "run_times", None)  # optional: a custom store may not have it
    if run_times is None:
        return ()
    try:
        known: Sequence[RunTimes] = run_times(package_name)
    except StoreError as exc:
        _logger.warning("The times of earlier runs cannot be read, so the runner is chosen without them: %s", exc)
        return ()
    return known
