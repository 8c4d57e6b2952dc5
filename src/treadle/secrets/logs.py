"""Mask the registered secrets in log records, for every handler.

State: the process's log record factory, which is wrapped once. A filter would have to be added to every handler, including those
that the application adds later; the factory creates every record.
"""

from __future__ import annotations

import logging
from typing import Any

from treadle.secrets.known import mask_secrets


class _MaskingFactory:
    """Creates log records with secrets masked in message, arguments and traceback.

    Args:
        make: the previous factory.
    """

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Create a record."""
        record: logging.LogRecord = self._make(*args, **kwargs)
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
        return record


def mask_log_records() -> None:
    """Mask the registered secrets in every log record that this process creates from now on."""
    current = logging.getLogRecordFactory()
    if not isinstance(current, _MaskingFactory):
        logging.setLogRecordFactory(_MaskingFactory(current))
