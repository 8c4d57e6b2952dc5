"""Sends what a worker's nodes print and log: at once, but what is printed in quick succession together.

A message of its own for each of 100,000 lines would cost several times what it takes to print them. State: what waits to be sent.
Neighbours: `streams.py` and `forwarding.py` hand it what is printed and logged; `worker.py` sends what waits after a moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.execution.protocol.messages import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.processes.channel import Channel
    from treadle.execution.protocol.messages import Fact

_WINDOW_SECONDS = 0.01
_AT_ONCE = 8
"""So many pieces within a window are sent at once: the last lines of a process that dies are among these, if they are few."""
_MOST_WAITING = 1000
"""So many pieces are sent together at most."""


class PacedSender:
    """Send pieces of output and log records.

    Args:
        channel: takes them to the parent, in their order.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._window = 0.0  # when the present one began, by the monotonic clock
        self._pieces = 0  # in the present window
        self._first: Output | None = None
        self._texts: list[str] = []  # of the output that waits: one stream's, and one node's
        self.waits = False
        """Whether something waits until `flush` is called."""
        self.wake: Callable[[], None] | None = None
        """Has another thread call `flush` soon; None where there is none, and everything is sent at once."""

    def send(self, fact: Fact) -> None:
        """Send a fact, now or with those that follow.

        Raises:
            ChannelClosedError: the parent is gone.
        """
        with self._channel.lock:
            self._keep(fact)
            now = time.monotonic()
            if now - self._window >= _WINDOW_SECONDS:
                self._window, self._pieces = now, 0
            self._pieces += 1
            if self.wake is None or self._pieces <= _AT_ONCE or len(self._texts) >= _MOST_WAITING:
                self.flush()
            elif not self.waits:
                self.waits = True
                self.wake()

    def flush(self) -> None:
        """Send what waits.

        Raises:
            ChannelClosedError: the parent is gone.
        """
        with self._channel.lock:
            self.waits = False
            self.post()
            self._channel.flush()

    def post(self) -> None:
        """Put what waits into the channel, before what is posted there next."""
        if self._first is not None:
            with self._channel.lock:
                first, texts = self._first, self._texts
                self._first, self._texts = None, []
                if first is not None:
                    self._channel.post(first._replace(text="".join(texts)))

    def _keep(self, fact: Fact) -> None:
        if type(fact) is not Output or fact.passing or not isinstance(fact.text, str):
            self.post()
            self._channel.post(fact)
            return
        first = self._first
        if first is None or (first.stream, first.node) != (fact.stream, fact.node):
            self.post()
            self._first = fact
        self._texts.append(fact.text)
