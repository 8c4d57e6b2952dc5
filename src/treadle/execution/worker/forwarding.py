"""Forward a worker's log records and printed output to the parent as they occur, with the names of node and worker.

The handler and `flush_forwarded` run in the worker; `log_record` and `write_output` run in the parent. State: the process's
streams and logging handlers.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from treadle.errors import RunError
from treadle.execution.protocol.messages import Logged
from treadle.execution.worker.streams import ForwardStream, unfinished_lines
from treadle.project.log_capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from treadle.execution.protocol.messages import Fact, Output


class ForwardHandler(logging.Handler):
    """Send each record to the parent, which passes it to its own loggers.

    Args:
        send: sends a fact; raises ConnectionError if the parent is gone.
        worker: label of this worker.
        node: returns the name of the running node, None between nodes.
        lock: the re-entrant lock that `send` acquires, if it acquires one. A finalizer that logs in the middle of a send holds
            it already, so a second lock would be acquired in two orders and could deadlock.
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
            pass  # the parent is gone
        except Exception:  # noqa: BLE001 - like every handler: an invalid record is reported, and does not fail the node
            self.handleError(record)


def flush_forwarded() -> None:
    """Send unfinished lines at the end of a node, so that they are attributed to it."""
    unfinished_lines.may_exist = False  # first: another thread may print now
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, ForwardStream):
            stream.flush_all()
        else:  # the project has replaced it, perhaps for a while, and it may have an unfinished line
            unfinished_lines.may_exist = True


def stop_forwarding() -> None:
    """Print and log to the process's own streams: a process that a node forked must not write to the worker's channel."""
    if isinstance(sys.stdout, ForwardStream):
        sys.stdout = sys.__stdout__
    if isinstance(sys.stderr, ForwardStream):
        sys.stderr = sys.__stderr__
    if any(isinstance(handler, ForwardHandler) for handler in logging.root.handlers):
        logging.root.handlers[:] = [logging.StreamHandler(sys.__stderr__)]


def take_over_logging(handler: logging.Handler) -> None:
    """Remove all logging handlers that this process inherited or that imports installed, and use this handler only."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.root.manager.loggerDict[name]
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
    logging.root.handlers[:] = [handler]


def log_record(logged: Logged) -> None:
    """Pass a worker's log record to this process's loggers, as if it had been logged here, and to the log of the run."""
    record = logged.record()
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        capture(record, logged.attributes.get("node"), logged.attributes.get("worker"))
        logger.handle(record)


def write_output(output: Output) -> None:
    """Write a worker's output to this process's stream; a stream with `write_from` also receives the name of the node."""
    stream = sys.stderr if output.stream == "stderr" else sys.stdout
    if stream is None:
        return  # this program has no console
    write_from = getattr(stream, "write_from", None)
    try:
        if write_from is not None and isinstance(output.text, str):
            write_from(output.node, output.text, passing=output.passing)
        elif not output.passing:
            _write(stream, output.text)
    except OSError as exc:
        name = "standard error" if output.stream == "stderr" else "standard output"
        msg = (
            f"The output of the nodes cannot be written to {name} ({exc.strerror}), so the run was stopped. Either the program "
            "that reads it has ended, or the disk is full."
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
    except UnicodeEncodeError:  # this terminal cannot show some characters: escape them
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
