"""Keeps the parent's dataset objects up to date during a run, and releases each dataset after its last consumer.

State: which nodes still use each dataset; the first error. Runs in the parent. Neighbours: `attempt/dataset_state.py` carries the
attributes that datasets set while saving; `datasets.py` prepares a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.events import DatasetReleased, NodeFinished
from treadle.execution.attempt.dataset_state import describe_unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from treadle.events import Event
    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.planning import Plan


class DatasetUpkeep:
    """Observes a run in the parent: keeps its dataset objects up to date, and releases each after its last consumer.

    A `release` that raises does not stop the loop; `check` raises its error after the run.

    Args:
        plan: the plan of the run.
        shared: the attributes set in other processes; None if all nodes run in this process.
        dataset: returns a dataset of this process, by name.
        release: releases a dataset, by name.
        released: the datasets to release after the last node that loads them; results of the run are never released.
        warn: receives the text of each warning.
    """

    ignored_events = (DatasetReleased,)

    def __init__(
        self,
        plan: Plan,
        shared: SharedState | None,
        *,
        dataset: Callable[[str], Any],
        release: Callable[[str], None],
        released: Iterable[str],
        warn: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._dataset = dataset
        self._release = release
        self._warn = warn
        self._error: BaseException | None = None
        names = [each.name for each in plan.datasets]
        watched = shared.names if shared is not None else frozenset()
        self._saved_by = {
            node.name: [names[each] for each in node.outputs if names[each] in watched] for node in plan.nodes if watched
        }
        self._pending_users: dict[str, set[str]] = {}
        self._used_by: dict[str, list[str]] = {}
        results = {each.name for each in plan.datasets if each.is_result}
        users: dict[str, set[str]] = {name: set() for name in released if name not in results}
        for node in plan.nodes:
            for each in node.inputs:
                if names[each] in users:
                    users[names[each]].add(node.name)
        for node in plan.nodes:
            for each in node.outputs:
                if not users.get(
                    names[each], True
                ):  # no consumer (a transcoded name is another object): its producer uses it last
                    users[names[each]].add(node.name)
        for name, nodes in users.items():
            if nodes:
                self._pending_users[name] = nodes
                for user in nodes:
                    self._used_by.setdefault(user, []).append(name)

    def __bool__(self) -> bool:
        """True if there is any dataset to refresh or release in this run."""
        return bool(self._pending_users or any(self._saved_by.values()))

    def __call__(self, event: Event) -> None:
        """Handle one event of the run."""
        if not isinstance(event, NodeFinished):
            return
        try:
            for name in self._saved_by.get(event.node, ()):
                self._refresh(name)
            for name in self._used_by.get(event.node, ()):
                pending = self._pending_users.get(name)
                if pending is not None:
                    pending.discard(event.node)
                    if not pending:
                        del self._pending_users[name]
                        self._release(name)
        except BaseException as exc:  # the loop continues; `check` raises the error after the run
            if not isinstance(exc, Exception):
                raise
            self._error = self._error or exc

    def check(self) -> None:
        """Raise the first error that a refresh or a release raised."""
        if self._error is not None:
            raise self._error

    def _refresh(self, name: str) -> None:
        if self._shared is None:
            return
        unpicklable = self._shared.refresh(name, lambda: self._dataset(name))
        if unpicklable:
            self._warn(describe_unpicklable(name, unpicklable))
