"""What nodes print, on its way to a person: each line with its node, and of a progress bar only the present or the last state.

A stream here stands in for `sys.stdout` or `sys.stderr` while a command shows a run. What is written while no node runs passes
through; so does what handlers of logging write, which find the stream below. State: lines that are not complete.
Neighbours: `progress.py` and the command line put the streams in place; `execution/worker/forwarding.py`
writes what workers sent.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.execution.worker.streams import last_state, last_states
from treadle.forks import fork_safe
from treadle.project.logging import node_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO


class NodeStream:
    """Stand in for a standard stream, and put the name of the node before each line that a node prints.

    Args:
        original: the stream that it stands in for.
        sink: where lines are written; the original where None. On a terminal with a display this writes above the display.
        show: shows a passing state of a line, given the node; None where there is nothing to show it on.
        is_raw: asked at each write; True passes everything to the original as it is (while a person types).
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
        self._begun: dict[int, tuple[str, str]] = {}  # by thread: the node, and its line that carriage returns write again
        self._open: object = None  # whose line has no end yet

    @property
    def rich_proxied_file(self) -> TextIO:
        """The stream below: what rich's own consoles write to."""
        return self._original

    @property
    def unlabelled(self) -> TextIO:
        """The stream below, for log records, which know their node."""
        return self._sink

    def write(self, text: str) -> int:
        """Write text; what a node of this process writes gets the node's name before each line."""
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
        """Write what a worker process sent.

        Args:
            node: the node that wrote it; None between nodes.
            text: whole lines, or what was flushed of one; the present state of a line where it is passing.
            passing: whether it will be replaced.
        """
        if passing:
            if self._show is not None and node is not None:
                self._show(node, text)
            return
        with self._lock:
            self._emit(node, text, node)
            self._sink.flush()

    def writelines(self, lines: Any) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream below."""
        (self._original if self._is_raw() else self._sink).flush()

    def finish(self) -> None:
        """Write the last state of lines that have not ended."""
        with self._lock:
            for node, line in self._begun.values():
                if shown := last_state(line):
                    self._emit(node, f"{shown}\n", None)
            self._begun.clear()
            if self._open is not None:
                self._write("\n")
                self._open = None

    def _emit(self, node: str | None, text: str, writer: object) -> None:
        """Write text with the node before each line, but for what continues a line that the same one has begun."""
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
        except UnicodeEncodeError:  # this terminal cannot show it: that is no reason to end a run
            encoding = self._original.encoding or "ascii"
            self._sink.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextmanager
def nodes_named() -> Iterator[None]:
    """Put the node's name before each line that nodes print to standard output and standard error."""
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
