"""Masking the registered secrets in log records, whichever handlers take them.

State: the process's log record factory, wrapped once. A filter would have to stand on every handler of the application, those
that it adds later included; the factory sees every record that is made.
"""

from __future__ import annotations

import logging
from typing import Any

from treadle.secrets.known import mask_secrets


class _MaskingFactory:
    """Makes log records with the secrets masked in message, arguments and traceback.

    Args:
        make: the factory that was set before.
    """

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Make a record."""
        record: logging.LogRecord = self._make(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the handler that formats the record reports wrong arguments, as always
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
    """Mask the registered secrets in every log record that this process makes from now on."""
    current = logging.getLogRecordFactory()
    if not isinstance(current, _MaskingFactory):
        logging.setLogRecordFactory(_MaskingFactory(current))
