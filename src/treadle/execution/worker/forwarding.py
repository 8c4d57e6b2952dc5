"""A worker's logs and prints on their way to the parent: live, and tagged with node and worker."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from treadle.errors import RunError
from treadle.execution.protocol.messages import Logged
from treadle.execution.worker.streams import ForwardStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from treadle.execution.protocol.messages import Fact, Output


class ForwardHandler(logging.Handler):
    """Send each record to the parent, which hands it to its own loggers.

    Args:
        send: sends a fact; it may raise ConnectionError when the parent is gone.
        worker: label of this worker.
        node: returns the name of the node that runs, None between nodes.
        lock: the re-entrant one that `send` takes, where it takes one: a finalizer that logs in the middle of a send has it
            already, and two locks would be taken in two orders.
    """

    def __init__(
        self,
        send: Callable[[Fact], None],
        worker: str,
        node: Callable[[], str | None],
        lock: threading.RLock | None = None,
    ) -> None:
        super().__init__()
        if lock is not None:
            self.lock = lock
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


def flush_forwarded() -> None:
    """Send the lines that were begun and not ended: with a node ends what it printed."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is ForwardStream:  # isinstance is slow for what derives from io's classes, and this is asked a node
            stream.flush_all()


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
    """Write a worker's text to this process's own stream; one that shows which node wrote it is given the node as well."""
    stream = sys.stderr if output.stream == "stderr" else sys.stdout
    if stream is None:
        return  # a program without a console
    write_from = getattr(stream, "write_from", None)
    try:
        if write_from is not None and isinstance(output.text, str):
            write_from(output.node, output.text, passing=output.passing)
        elif not output.passing:
            _write(stream, output.text)
    except OSError as exc:
        name = "standard error" if output.stream == "stderr" else "standard output"
        msg = (
            f"What the nodes print cannot be written to {name} ({exc.strerror}), so the run was stopped: its reader is gone, "
            "or its disk is full."
        )
        raise RunError(msg) from exc


def _write(stream: TextIO, text: str | bytes) -> None:
    if isinstance(text, bytes):
        buffer = getattr(stream, "buffer", None)
        if buffer is not None:
            stream.flush()
            buffer.write(text)
            buffer.flush()
            return
        text = text.decode("utf-8", "replace")
    try:
        stream.write(text)
    except UnicodeEncodeError:  # this terminal cannot show it: that is no reason to end a run
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
