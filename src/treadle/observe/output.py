"""Show the output of nodes: prefix each line with its node, and reduce progress bars to their current or last state.

A `NodeStream` replaces `sys.stdout` or `sys.stderr` while a command shows a run. Text written outside nodes, and by logging
handlers, passes through unchanged. State: incomplete lines. Neighbours: `progress.py` and the command line install the streams;
`execution/worker/forwarding.py` writes the output of workers to them.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.execution.worker.line_states import last_state, last_states
from treadle.forks import fork_safe
from treadle.project.logging import node_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO


class NodeStream:
    """A replacement for a standard stream that prefixes each line printed by a node with the node's name.

    Args:
        original: the stream that is replaced.
        sink: where lines are written; by default the original. With a progress display, this writes above the display.
        show: shows the current state of an unfinished line of a node; None if there is no display.
        is_raw: called at each write; True passes the text to the original unchanged (during user input).
    """

    def __init__(
        self,
        original: TextIO,
        sink: TextIO | None = None,
        *,
        show: Callable[[str, str], None] | None = None,
        is_raw: Callable[[], bool] = lambda: False,
    ) -> None:
        self._original = original
        self._sink = sink if sink is not None else original
        self._show = show
        self._is_raw = is_raw
        self._lock = fork_safe(threading.RLock())
        self._begun: dict[int, tuple[str, str]] = {}  # thread -> node, and its unfinished line with carriage returns
        self._open: object = None  # the writer of the last line, if it has no newline yet

    @property
    def rich_proxied_file(self) -> TextIO:
        """The original stream, which rich's consoles write to."""
        return self._original

    @property
    def unlabelled(self) -> TextIO:
        """The stream for log records, which name their node themselves."""
        return self._sink

    def write(self, text: str) -> int:
        """Write text; prefix lines with the node's name if a node of this process writes them."""
        here = node_here.get()
        if self._is_raw():
            return self._original.write(text)
        if here is None:
            return self._sink.write(text)
        node, thread = here[0], threading.get_ident()
        with self._lock:
            begun = self._begun.pop(thread, None)
            if begun is None and "\r" not in text.replace("\r\n", "\n"):
                self._emit(node, text, thread)
                return len(text)
            line = (begun[1] if begun is not None else "") + text
            end = line.rfind("\n") + 1
            if end and (whole := last_states(line[:end])):
                self._emit(node, whole, thread)
            if end < len(line):
                shown = last_state(line[end:])
                self._begun[thread] = node, f"\r{shown}\r" if line.endswith("\r") else f"\r{shown}"
                if self._show is not None:
                    self._show(node, shown)
        return len(text)

    def write_from(self, node: str | None, text: str, *, passing: bool = False) -> None:
        """Write output received from a worker process.

        Args:
            node: the node that wrote it; None for output between nodes.
            text: complete lines, or a flushed part of one; if `passing`, the current state of a line.
            passing: whether the text will be overwritten.
        """
        if passing:
            if self._show is not None and node is not None:
                self._show(node, text)
            return
        with self._lock:
            self._emit(node, text, node)
            self._sink.flush()

    def writelines(self, lines: Any) -> None:
        """Write several strings."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the underlying stream."""
        (self._original if self._is_raw() else self._sink).flush()

    def finish(self) -> None:
        """Write the last state of unfinished lines."""
        with self._lock:
            for node, line in self._begun.values():
                if shown := last_state(line):
                    self._emit(node, f"{shown}\n", None)
            self._begun.clear()
            if self._open is not None:
                self._write("\n")
                self._open = None

    def _emit(self, node: str | None, text: str, writer: object) -> None:
        """Write text, prefixing each line with the node, unless it continues an unfinished line of the same writer."""
        if not text:
            return
        lines = text.split("\n")
        ends = not lines[-1]
        if ends:
            lines.pop()
        label = f"{node} | " if node is not None else ""
        first = "" if self._open == writer and self._open is not None else f"\n{label}" if self._open is not None else label
        self._write(first + f"\n{label}".join(lines) + ("\n" if ends else ""))
        self._open = None if ends else writer

    def _write(self, text: str) -> None:
        try:
            self._sink.write(text)
        except UnicodeEncodeError:  # the terminal's encoding lacks a character: escape it
            encoding = self._original.encoding or "ascii"
            self._sink.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextmanager
def nodes_named() -> Iterator[None]:
    """Prefix each line that nodes print to standard output and standard error with the node's name."""
    before = sys.stdout, sys.stderr
    streams = [NodeStream(stream) if stream is not None else None for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream, name, original in zip(streams, ("stdout", "stderr"), before, strict=True):
            if stream is not None:
                stream.finish()
                if getattr(sys, name) is stream:
                    setattr(sys, name, original)


def is_terminal() -> bool:
    """Return whether standard error is a terminal that supports cursor control."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}
