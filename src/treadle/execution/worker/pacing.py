"""Send the output and log records of a worker's nodes at once, but combine output printed in quick succession.

One message for each of 100,000 lines would take several times as long as printing them. Runs in workers. State: the pending
output. Neighbours: `streams.py` and `forwarding.py` pass it output and log records; `server.py` flushes it after a short delay.
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
_IMMEDIATE_PIECES = 8
"""The number of pieces per window that are sent at once, so that the last few lines before a crash are not lost."""
_MAX_PENDING_PIECES = 1000
"""The maximum number of pieces that are combined into one message."""


class PacedSender:
    """Send pieces of output and log records.

    Args:
        channel: sends them to the parent in order.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._window = 0.0  # start of the current window, by the monotonic clock
        self._pieces = 0  # in the current window
        self._first: Output | None = None
        self._texts: list[str] = []  # the pending output, all of one stream and one node
        self.pending = False
        """Whether output is pending until `flush` is called."""
        self.wake: Callable[[], None] | None = None
        """Makes another thread call `flush` soon; if None, everything is sent at once."""

    def send(self, fact: Fact) -> None:
        """Send a fact, either now or together with those that follow.

        Raises:
            ChannelClosedError: the parent is gone.
        """
        with self._channel.lock:
            self._add(fact)
            now = time.monotonic()
            if now - self._window >= _WINDOW_SECONDS:
                self._window, self._pieces = now, 0
            self._pieces += 1
            if self.wake is None or self._pieces <= _IMMEDIATE_PIECES or len(self._texts) >= _MAX_PENDING_PIECES:
                self.flush()
            elif not self.pending:
                self.pending = True
                self.wake()

    def flush(self) -> None:
        """Send the pending output.

        Raises:
            ChannelClosedError: the parent is gone.
        """
        with self._channel.lock:
            self.pending = False
            self.post()
            self._channel.flush()

    @property
    def has_output(self) -> bool:
        """Whether there is output that `post` would move into the channel."""
        return self._first is not None

    def post(self) -> None:
        """Move the pending output into the channel, ahead of the messages that are posted next."""
        if self._first is not None:
            with self._channel.lock:
                first, texts = self._first, self._texts
                self._first, self._texts = None, []
                if first is not None:
                    self._channel.post(first._replace(text="".join(texts)))

    def _add(self, fact: Fact) -> None:
        if type(fact) is not Output or fact.passing or not isinstance(fact.text, str):
            self.post()
            self._channel.post(fact)
            return
        first = self._first
        if first is None or (first.stream, first.node) != (fact.stream, fact.node):
            self.post()
            self._first = fact
        self._texts.append(fact.text)
