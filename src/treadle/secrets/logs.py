"""Mask the registered secrets in log records, for every handler, and pass each record on to one function that may keep it.

State: the process's log record factory, which is wrapped, and the last wrapper. A filter would have to be added to every handler,
including those that the application adds later; the factory creates every record.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from treadle.secrets.known import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable


class _RecordFactory:
    """Creates log records.

    Args:
        make: the previous factory.
    """

    def __init__(self, make: Any) -> None:
        self._make = make
        self.masks = False
        """Whether secrets are masked in message, arguments and traceback."""
        self.watch: Callable[[logging.LogRecord], None] | None = None
        """Called with each record."""

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Create a record."""
        record: logging.LogRecord = self._make(*args, **kwargs)
        try:
            if self.masks:
                _mask(record)
            if self.watch is not None:
                self.watch(record)
        except Exception:  # noqa: BLE001 - reported as logging reports a handler that fails, and the code that logs goes on
            logging.Handler().handleError(record)
        return record


_installed: list[_RecordFactory] = []
"""The last wrapper of the record factory; empty before the first."""


def mask_log_records() -> None:
    """Mask the registered secrets in every log record that this process creates from now on."""
    _factory().masks = True


def watch_log_records(watch: Callable[[logging.LogRecord], None]) -> None:
    """Call a function with every log record that this process creates from now on, with secrets masked.

    Args:
        watch: takes the record, before its logger adds the fields of `extra`. It replaces the function of an earlier call.
    """
    _factory().watch = watch


def _factory() -> _RecordFactory:
    """Return the wrapper that is the record factory; another one is made if the application has set a factory since."""
    current = logging.getLogRecordFactory()
    if isinstance(current, _RecordFactory):
        return current
    factory = _RecordFactory(current)
    for before in _installed:  # the new factory may call it, and a record is watched once
        factory.masks, factory.watch, before.watch = before.masks, before.watch, None
    _installed[:] = [factory]
    logging.setLogRecordFactory(factory)
    return factory


def _mask(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler that formats the record reports wrong arguments
        message = ""
    masked = mask_secrets(message)
    if masked != message:
        record.msg, record.args = masked, ()
    if record.exc_info and record.exc_info[1] is not None:
        text = logging.Formatter().formatException(record.exc_info)
        masked = mask_secrets(text)
        if masked != text:
            record.exc_info, record.exc_text = None, masked
