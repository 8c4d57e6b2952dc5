"""How long runs took, to tell clients when the next ones end. State: the last durations. `runs.py` notes them."""

from __future__ import annotations

import json
import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.server.models import RunBody

_KNOWN = 1000
"""Of how many different requests the duration is known."""


class Durations:
    """How long the last runs took, in seconds; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=20)
        self._usual: dict[str, float] = {}  # of the last run with the same arguments that succeeded

    def note(self, body: RunBody, seconds: float, *, has_succeeded: bool) -> None:
        """Note how long a run took.

        Args:
            body: what was asked for.
            seconds: how long it took.
            has_succeeded: whether it succeeded; the durations of failed runs do not predict the next one.
        """
        self._last.append(seconds)
        if has_succeeded:
            self._usual[_asked(body)] = seconds
            while len(self._usual) > _KNOWN:
                del self._usual[next(iter(self._usual))]

    def usual(self, body: RunBody) -> float | None:
        """Return how long the last run of the same nodes took; None if there was none."""
        return self._usual.get(_asked(body))

    def retry_after(self) -> int:
        """Return the seconds after which a refused client may try again: about the length of one run."""
        seconds = list(self._last)
        return min(60, max(1, math.ceil(sum(seconds) / len(seconds)))) if seconds else 1


def _asked(body: RunBody) -> str:
    return json.dumps(body.arguments(), sort_keys=True)
