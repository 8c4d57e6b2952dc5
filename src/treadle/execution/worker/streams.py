"""What stands in for `sys.stdout` and `sys.stderr` in a worker: whole lines go to the parent, which writes them to its own.

Several threads may print at the same time: the line that each has begun is kept apart until it ends. Of a line that carriage
returns write again and again (a progress bar) the last state is sent, and now and then the present one, marked as passing.
State: those lines.
Neighbours: `forwarding.py` puts the streams in place and writes, in the parent, what arrives.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.messages import Output
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.protocol.messages import Fact

LONG_LINE = 1 << 16
"""So many characters of a line that does not end are sent as they are."""


PASSING_SECONDS = 0.25
"""So long after one passing state of a line the next is sent."""


def last_state(line: str) -> str:
    """Return what a terminal would show of a line in which carriage returns went back to its beginning.

    Args:
        line: the text, without its end.

    Returns:
        What was written after the last carriage return that something followed; an empty text where that is blank.
    """
    return line.rstrip("\r").rpartition("\r")[2].rstrip() if "\r" in line else line


def last_states(text: str) -> str:
    """Return whole lines, each in its last state; lines that were blanked (a progress bar that removes itself) are left out."""
    if "\r" not in text or "\r" not in text.replace("\r\n", "\n"):
        return text
    lines = []
    for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        shown = last_state(line)
        if shown or "\r" not in line:
            lines.append(f"{shown}\n")
    return "".join(lines)


class ForwardStream(io.TextIOBase):
    """Stand in for `sys.stdout` or `sys.stderr`.

    What C libraries write goes to the process's own descriptor, as ever; `fileno` names that one.

    Args:
        name: `stdout` or `stderr`.
        send: sends a fact; it may raise ConnectionError when the parent is gone.
        original: the process's own stream.
        lock: held while a piece is sent. Where `send` takes one, it has to be that one: a finalizer that prints in the middle
            of a send has it already, and two locks would be taken in two orders. A re-entrant one.
        node: returns the name of the node that runs, None between nodes.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Fact], None],
        original: io.TextIOBase | None,
        lock: contextlib.AbstractContextManager[Any] | None = None,
        node: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._name = name
        self._node = node
        self._passed = 0.0  # when a passing state was last sent, by the monotonic clock
        self._send = send
        self._original = original
        self._lock = lock if lock is not None else fork_safe(threading.RLock())
        self._begun: dict[int, io.StringIO] = {}
        self._buffer = ForwardBuffer(self, self._lock)

    @property
    def name(self) -> str:
        """Name of the stream, as Python's own has it."""
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property here, an attribute in the stub
        """Encoding of the text: it travels as text, so this is only what a caller expects to see."""
        return "utf-8"

    @property
    def buffer(self) -> ForwardBuffer:
        """The stream of bytes below this one."""
        return self._buffer

    def reconfigure(self, **_options: Any) -> None:
        """Do nothing: encoding and buffering are those of the parent's stream."""

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream; where it has none, the standard one, which the pool has opened."""
        if self._original is None or self._original.closed:
            return 2 if self._name == "stderr" else 1
        return self._original.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False: the parent's may be one, this is not."""
        return False

    def write(self, text: str) -> int:
        """Send the whole lines of the text, with what this thread had begun; keep the rest until its line ends."""
        thread = threading.get_ident()
        with self._lock:
            end = text.rfind("\n") + 1
            if end:
                begun = self._begun.pop(thread, None)
                whole = begun.getvalue() + text[:end] if begun is not None else text[:end]
                if whole := last_states(whole):
                    self.emit(whole)
            if end < len(text):
                begun = self._begun.setdefault(thread, io.StringIO())
                begun.write(text[end:])
                if "\r" in text:
                    self._pass(thread, begun.getvalue())
                elif begun.tell() > LONG_LINE:
                    self.flush()
        return len(text)

    def flush(self) -> None:
        """Send what this thread has of a line, unless carriage returns write that line again and again."""
        with self._lock:
            thread = threading.get_ident()
            begun = self._begun.get(thread)
            if begun is not None and "\r" not in (text := begun.getvalue()):
                del self._begun[thread]
                self.emit(text)

    def _pass(self, thread: int, line: str) -> None:
        """Keep only the present state of a line that is written again and again, and send it now and then."""
        shown = last_state(line)
        kept = self._begun[thread] = io.StringIO()
        kept.write(f"\r{shown}\r" if line.endswith("\r") else f"\r{shown}")
        now = time.monotonic()
        if shown and now - self._passed >= PASSING_SECONDS:
            self._passed = now
            self.emit(shown, passing=True)

    def flush_all(self) -> None:
        """Send what all threads have of lines, and the bytes that wait."""
        if self._begun or self._buffer.waits:  # asked after every node
            with self._lock:
                for begun in self._begun.values():
                    text = begun.getvalue()
                    if "\r" not in text:
                        self.emit(text)
                    elif shown := last_state(text):
                        self.emit(f"{shown}\n")
                self._begun.clear()
                self._buffer.flush()

    def emit(self, text: str | bytes, *, passing: bool = False) -> None:
        """Send a piece."""
        with contextlib.suppress(ConnectionError):  # the parent may be gone, and its output with it
            self._send(Output(self._name, text, self._node(), passing))


class ForwardBuffer(io.BufferedIOBase):
    """The bytes below a `ForwardStream`: `sys.stdout.buffer`. They arrive as they are, at the ends of lines or with a flush.

    Args:
        stream: the stream of text above.
        lock: the one of both.
    """

    def __init__(self, stream: ForwardStream, lock: contextlib.AbstractContextManager[Any]) -> None:
        super().__init__()
        self._stream = stream
        self._lock = lock
        self._begun = bytearray()

    @property
    def waits(self) -> bool:
        """Whether there are bytes that wait for the end of a line."""
        return bool(self._begun)

    @property
    def raw(self) -> ForwardBuffer:
        """This very object: nothing is below it."""
        return self

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Send the whole lines of some bytes, after the text that this thread has begun."""
        piece = bytes(data)
        with self._lock:
            self._begun += piece
            end = self._begun.rfind(b"\n") + 1 if len(self._begun) <= LONG_LINE else len(self._begun)
            if end:
                self._send(end)
        return len(piece)

    def flush(self) -> None:
        """Send what is left of a line."""
        with self._lock:
            if self._begun:
                self._send(len(self._begun))

    def _send(self, end: int) -> None:
        self._stream.flush()
        self._stream.emit(bytes(self._begun[:end]))
        del self._begun[:end]
