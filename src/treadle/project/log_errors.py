"""Report a log handler whose lines cannot be written once, not for every line. State: in each handler, whether it was reported.

Python prints a traceback and the whole stack for each record, which on a full disk hides everything else that a run prints.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import partial

_REPORTED = "_treadle_reported"


def report_write_errors_once(handler: logging.Handler) -> None:
    """Let a handler report in one line that its lines cannot be written, unless its class has another way.

    Args:
        handler: any handler.
    """
    if type(handler).handleError is logging.Handler.handleError and "handleError" not in vars(handler):
        handler.handleError = partial(_handle_error, handler)  # type: ignore[method-assign]


def _handle_error(handler: logging.Handler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        logging.Handler.handleError(handler, record)
        return
    if not logging.raiseExceptions or sys.stderr is None or getattr(handler, _REPORTED, False):
        return
    setattr(handler, _REPORTED, True)
    where = getattr(handler, "baseFilename", None) or handler.get_name() or type(handler).__name__
    reason = error.strerror or error
    with suppress(OSError, ValueError):  # standard error cannot be written either
        sys.stderr.write(f"Log lines cannot be written to {where}: {reason}. Further errors of it are not shown.\n")
