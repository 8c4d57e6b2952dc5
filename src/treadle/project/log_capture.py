"""Pass the log records of a run to the log of its session, in addition to the handlers.

A record that is created in this process belongs to the run in whose context it is created: nodes in threads run in a copy of
that context. A record that a worker process has sent is passed on by `forwarding.py`. A handler of the root logger would not do:
`logging.basicConfig`, which many scripts call, does nothing if there is one.

State: the logs that are open in this process. Neighbours: `logging.py` knows the node of a context, `treadle.session` opens
logs.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from treadle.named_tuple import NamedTuple
from treadle.project.logging import node_here

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator


class RunLog(Protocol):
    """Keeps the log records of a run."""

    def add(self, record: logging.LogRecord, node: str | None, worker: str | None) -> None:
        """Add a record; called in any thread, while the logging code of a node waits.

        Args:
            record: the record.
            node: the node that logged it; None if no node is known.
            worker: label of the worker that the node ran in.
        """


class _OpenLog(NamedTuple):
    log: RunLog
    process: int


_open_log: ContextVar[_OpenLog | None] = ContextVar("treadle_open_log", default=None)
"""The log of the run that this context belongs to."""

_all_open: list[_OpenLog] = []


@contextmanager
def logs_captured(log: RunLog | None) -> Iterator[None]:
    """Add the log records of the run in the `with` block to a log.

    Args:
        log: the log; None to do nothing.
    """
    if log is None:
        yield
        return
    from treadle.secrets.logs import watch_log_records

    opened = _OpenLog(log, os.getpid())
    watch_log_records(_watch)
    _all_open.append(opened)
    token = _open_log.set(opened)
    try:
        yield
    finally:
        _open_log.reset(token)
        _all_open[:] = [each for each in _all_open if each is not opened]


def capture(record: logging.LogRecord, node: str | None, worker: str | None) -> None:
    """Add a record to the log of the run that this context belongs to, if there is one.

    Args:
        record: the record.
        node: the node that logged it, if any.
        worker: label of the worker that sent it.
    """
    opened = _open_log.get()
    if opened is not None:
        opened.log.add(record, node, worker)


def _watch(record: logging.LogRecord) -> None:
    """Capture a record that was created in this process."""
    opened = _open_log.get()
    if opened is None and len(_all_open) == 1:  # a thread that a node or a library started without a context
        opened = _all_open[0]
    if opened is None or opened.process != os.getpid():  # of a process that forked this one
        return
    if not record.name:  # it was received from another process, and its fields are set later
        return
    node, worker = node_here.get() or (None, "main")
    opened.log.add(record, node, worker)
