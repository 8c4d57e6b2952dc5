"""A worker's logs and prints on their way to the parent: live, and tagged with node and worker."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import TYPE_CHECKING

from treadle.execution.job import Logged, Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.job import Fact


class ForwardHandler(logging.Handler):
    """Send each record to the parent, which hands it to its own loggers.

    Args:
        send: sends a fact; it may raise ConnectionError when the parent is gone.
        worker: label of this worker.
        node: returns the name of the node that runs, None between nodes.
    """

    def __init__(self, send: Callable[[Fact], None], worker: str, node: Callable[[], str | None]) -> None:
        super().__init__()
        self._send = send
        self._worker = worker
        self._node = node

    def emit(self, record: logging.LogRecord) -> None:
        """Tag a record and send it."""
        try:
            record.worker = self._worker
            record.node = self._node()
            self._send(Logged.of(record))
        except ConnectionError:
            pass  # the parent is gone: nobody is left to tell
        except Exception:  # noqa: BLE001 - as every handler: a record that cannot be formatted is reported and does not end the node
            self.handleError(record)


class ForwardStream(io.TextIOBase):
    """Stand in for `sys.stdout` or `sys.stderr`: whole lines go to the parent, which writes them to its own.

    What C libraries write goes to the process's own descriptor, as ever; `fileno` names that one.
    """

    def __init__(self, name: str, send: Callable[[Fact], None], original: io.TextIOBase | None) -> None:
        super().__init__()
        self._name = name
        self._send = send
        self._original = original
        self._pending = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property here, an attribute in the stub
        """Encoding of the text: it travels as text, so this is only what a caller expects to see."""
        return "utf-8"

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream."""
        if self._original is None:
            msg = "this process has no such stream"
            raise io.UnsupportedOperation(msg)
        return self._original.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False: the parent's may be one, this is not."""
        return False

    def write(self, text: str) -> int:
        """Send the whole lines of the text, keep the rest until its line ends."""
        self._pending += text
        if "\n" in self._pending:
            lines, _newline, self._pending = self._pending.rpartition("\n")
            self._emit(lines + "\n")
        return len(text)

    def flush(self) -> None:
        """Send what is left of a line."""
        if self._pending:
            text, self._pending = self._pending, ""
            self._emit(text)

    def _emit(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):  # the parent may be gone: nobody is left to tell
            self._send(Output(self._name, text))


def flush_forwarded() -> None:
    """Send the lines that were begun and not ended: with a node ends what it printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, ForwardStream):
            stream.flush()


def stop_forwarding() -> None:
    """Print and log to the process's own streams: what a node forks shares the worker's descriptors, and not its channel."""
    if isinstance(sys.stdout, ForwardStream):
        sys.stdout = sys.__stdout__
    if isinstance(sys.stderr, ForwardStream):
        sys.stderr = sys.__stderr__
    if any(isinstance(handler, ForwardHandler) for handler in logging.root.handlers):
        logging.root.handlers[:] = [logging.StreamHandler(sys.__stderr__)]


def take_over_logging(handler: logging.Handler) -> None:
    """Drop every handler that this process inherited or that its imports made, and log through one alone."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.root.manager.loggerDict[name]
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
    logging.root.handlers[:] = [handler]


def hand_to_loggers(logged: Logged) -> None:
    """Hand a worker's record to this process's loggers, as if it had been made here."""
    record = logged.record()
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def write_output(output: Output) -> None:
    """Write a worker's text to this process's own stream."""
    stream = sys.stderr if output.stream == "stderr" else sys.stdout
    stream.write(output.text)
    stream.flush()
