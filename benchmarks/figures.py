"""A figure that stands alone: what was measured, what came out, and the goal where there is one."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        what: what was measured.
        value: the figure, in `unit`.
        unit: its unit: "s", "µs a node", "×".
        goal: the most that it should be, None where there is no goal.
        detail: what it is made of.
    """

    what: str
    value: float
    unit: str = "s"
    goal: float | None = None
    detail: str = ""


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Call; return the seconds that it took, and its value."""
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, value


def median_of(call: Callable[[], Any], repeats: int) -> float:
    """Call once to warm up, then so many times; return the median of the seconds."""
    call()
    return statistics.median(timed(call)[0] for _ in range(repeats))
