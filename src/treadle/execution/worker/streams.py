"""Replacements of `sys.stdout` and `sys.stderr` in a worker: they send complete lines to the parent, which prints them.

Several threads may print at the same time, so the unfinished line of each thread is kept separately. For a line that is
rewritten with carriage returns (a progress bar), the final state is sent, and every so often an intermediate state, marked as
passing. State: the unfinished lines. Runs in workers. Neighbours: `bootstrap.py` installs the streams, `forwarding.py` prints
their lines in the parent.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.messages import Output
from treadle.execution.worker.line_states import last_state, last_states
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.protocol.messages import Fact

LONG_LINE = 1 << 16
"""An unfinished line longer than this number of characters is sent without waiting for its end."""

_MAX_PIECES = 256
"""The number of pieces of an unfinished line that are kept apart until they are joined."""

PASSING_SECONDS = 0.25
"""The shortest interval between two intermediate states of a line that is rewritten with carriage returns."""


class _UnfinishedLines:
    """Those of all streams of this process."""

    may_exist = False
    """Whether a stream may have one. Each node asks for it.

    It is not an attribute of `ForwardStream`, because Python looks up the methods of a class anew after each change of the class.
    """


unfinished_lines = _UnfinishedLines()


class ForwardStream(io.TextIOBase):
    """Replaces `sys.stdout` or `sys.stderr`.

    C libraries still write to the process's own descriptor, which `fileno` returns.

    Args:
        name: `stdout` or `stderr`.
        send: sends a fact; raises ConnectionError if the parent is gone.
        original: the process's own stream.
        lock: a re-entrant lock, held while a piece is sent. If `send` acquires a lock, it must be the same one: a finalizer that
            prints in the middle of a send holds it already, so two locks would be acquired in two orders and could deadlock.
        node: returns the name of the running node, None between nodes.
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
        self._passed = 0.0  # when an intermediate state was last sent, by the monotonic clock
        self._send = send
        self._original = original
        self._lock = lock if lock is not None else fork_safe(threading.RLock())
        self._unfinished: dict[int, list[str]] = {}  # the pieces of each thread's unfinished line
        self._buffer = ForwardBuffer(self, self._lock)

    @property
    def name(self) -> str:
        """Name of the stream, as Python's own has it."""
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property here, an attribute in the stub
        """Encoding, for callers that expect one: the text is sent to the parent as text."""
        return "utf-8"

    @property
    def buffer(self) -> ForwardBuffer:
        """The underlying binary stream."""
        return self._buffer

    def reconfigure(self, **_options: Any) -> None:
        """Do nothing: the parent's stream determines encoding and buffering."""

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream; without one, 1 or 2, which the pool has opened."""
        if self._original is None or self._original.closed:
            return 2 if self._name == "stderr" else 1
        return self._original.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False: this stream is not a terminal, even if the parent's is."""
        return False

    def write(self, text: str) -> int:
        """Send the complete lines of the text, after this thread's unfinished line; keep the rest until its line ends."""
        thread = get_ident()
        if "\n" in text or "\r" in text:
            with self._lock:
                self._write_lines(thread, text)
            return len(text)
        pieces = self._unfinished.get(thread)  # only this thread adds to them: `print` writes each of its arguments by itself
        if pieces is None:
            pieces = self._unfinished[thread] = []
        pieces.append(text)
        unfinished_lines.may_exist = True
        if len(pieces) > _MAX_PIECES or len(text) > LONG_LINE:
            with self._lock:
                self._limit(thread)
        return len(text)

    def _write_lines(self, thread: int, text: str) -> None:
        """Write text with line endings or carriage returns."""
        end = text.rfind("\n") + 1
        if end:
            pieces = self._unfinished.pop(thread, None)
            lines = "".join(pieces) + text[:end] if pieces else text[:end]
            if lines := last_states(lines):
                self.emit(lines)
        if end < len(text):
            pieces = self._unfinished.setdefault(thread, [])
            pieces.append(text[end:])
            unfinished_lines.may_exist = True
            if "\r" in text:
                self._emit_passing(thread, "".join(pieces))
            else:
                self._limit(thread)

    def _limit(self, thread: int) -> None:
        """Join the pieces of an unfinished line, and send a very long one."""
        pieces = self._unfinished[thread]
        pieces[:] = ["".join(pieces)]
        if len(pieces[0]) > LONG_LINE:
            self.flush()

    def flush(self) -> None:
        """Send this thread's unfinished line, unless it is being rewritten with carriage returns."""
        with self._lock:
            thread = get_ident()
            pieces = self._unfinished.get(thread)
            if pieces and "\r" not in (text := "".join(pieces)):
                del self._unfinished[thread]
                self.emit(text)

    def _emit_passing(self, thread: int, line: str) -> None:
        """Keep only the current state of a line that is rewritten with carriage returns; send it every PASSING_SECONDS."""
        shown = last_state(line)
        self._unfinished[thread] = [f"\r{shown}\r" if line.endswith("\r") else f"\r{shown}"]
        now = time.monotonic()
        if shown and now - self._passed >= PASSING_SECONDS:
            self._passed = now
            self.emit(shown, passing=True)

    def flush_all(self) -> None:
        """Send the unfinished lines of all threads, and the pending bytes."""
        if self._unfinished or self._buffer.unfinished:
            with self._lock:
                for pieces in list(self._unfinished.values()):
                    count = len(pieces)
                    text = "".join(pieces[:count])
                    del pieces[:count]  # the list stays: its thread may be adding to it at this moment
                    if "\r" not in text:
                        if text:
                            self.emit(text)
                    elif shown := last_state(text):
                        self.emit(f"{shown}\n")
                self._unfinished.pop(get_ident(), None)
                self._buffer.flush()

    def emit(self, text: str | bytes, *, passing: bool = False) -> None:
        """Send a piece of output."""
        with contextlib.suppress(ConnectionError):  # the parent is gone, so its output is too
            self._send(Output(self._name, text, self._node(), passing))


class ForwardBuffer(io.BufferedIOBase):
    """The binary stream of a `ForwardStream` (`sys.stdout.buffer`): bytes are sent unchanged, at each line end or flush.

    Args:
        stream: the text stream that it belongs to.
        lock: the lock of that stream.
    """

    def __init__(self, stream: ForwardStream, lock: contextlib.AbstractContextManager[Any]) -> None:
        super().__init__()
        self._stream = stream
        self._lock = lock
        self.unfinished = bytearray()
        """The last line, if it has not ended yet."""

    @property
    def raw(self) -> ForwardBuffer:
        """This object itself: it has no underlying raw stream."""
        return self

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Send the complete lines, after this thread's unfinished text."""
        piece = bytes(data)
        with self._lock:
            self.unfinished += piece
            unfinished_lines.may_exist = True
            end = self.unfinished.rfind(b"\n") + 1 if len(self.unfinished) <= LONG_LINE else len(self.unfinished)
            if end:
                self._send(end)
        return len(piece)

    def flush(self) -> None:
        """Send the unfinished line."""
        with self._lock:
            if self.unfinished:
                self._send(len(self.unfinished))

    def _send(self, end: int) -> None:
        self._stream.flush()
        self._stream.emit(bytes(self.unfinished[:end]))
        del self.unfinished[:end]
