"""The observers of a run: each one receives every event, in the parent process.

An observer that raises is disabled for the rest of the run and its traceback is logged once, because progress bars and
recorders must not decide whether work succeeds. (A hook that raises fails its node or run: hooks are user code.)
State: which observers are still active. Runs in the parent. Neighbours: `loop.py` and `failure_handler.py` notify.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from treadle.execution.processes.safe_points import INTERRUPTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.events import Event, Observer
    from treadle.planning import Plan

_logger = logging.getLogger(__name__)

_DISABLED = "The observer %s raised an exception while %s. It receives no more events; the run continues."


class Observers:
    """Pass the events of one run to its observers, in order.

    Args:
        observers: callables that take one event.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        self.active = list(observers)
        """Those that have not raised."""

    @property
    def record_outputs(self) -> bool:
        """Whether an observer has an attribute `records_outputs` that is true: it needs the `outputs` of each `NodeFinished`."""
        return any(getattr(observer, "records_outputs", False) is True for observer in self.active)

    def need(self, kind: type[Event]) -> bool:
        """Return whether an observer does something with events of a type: it has no `ignored_events` with this type.

        Args:
            kind: the type.
        """
        return any(kind not in getattr(observer, "ignored_events", ()) for observer in self.active)

    def notify(self, event: Event) -> None:
        """Call each active observer with an event. An observer that raises receives no more events.

        Args:
            event: the event.

        Raises:
            KeyboardInterrupt: Ctrl-C, or SystemExit: an observer or the handler of a signal ends the program. All other observers
                have received the event before.
        """
        failed, interrupt = [], None
        for observer in self.active:
            try:
                observer(event)
            except Exception:
                failed.append(observer)
                _logger.exception(_DISABLED, _name_of(observer), f"handling {type(event).__name__}")
            except INTERRUPTS as exc:
                interrupt = interrupt or exc
        if failed:
            self._disable(failed)
        if interrupt is not None:
            try:
                raise interrupt
            finally:
                del interrupt  # its traceback refers to this frame

    def plan_ready(self, plan: Plan, limits: Mapping[str, int]) -> None:
        """Call the method `plan_ready` of each active observer that has one.

        Args:
            plan: the plan of the run.
            limits: how much of each resource is available, by name.
        """
        self._call("plan_ready", "reading the plan", plan, limits)

    def before_first_node(self) -> None:
        """Call the method `before_first_node` of each active observer that has one; the first node starts afterwards."""
        self._call("before_first_node", "preparing for the first node")

    def _call(self, method: str, doing: str, *args: object) -> None:
        failed = []
        for observer in self.active:
            prepare = getattr(observer, method, None)
            if prepare is not None:
                try:
                    prepare(*args)
                except Exception:
                    failed.append(observer)
                    _logger.exception(_DISABLED, _name_of(observer), doing)
        if failed:
            self._disable(failed)

    def _disable(self, failed: list[Observer]) -> None:
        self.active = [each for each in self.active if not any(each is one for one in failed)]


def _name_of(observer: Observer) -> str:
    """Return the qualified name of an observer's function or class."""
    named = observer if hasattr(observer, "__qualname__") else type(observer)
    return f"{named.__module__}.{named.__qualname__}"
