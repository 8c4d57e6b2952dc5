"""The handler that shows log records on a terminal. Importing this module imports rich. Keeps no state."""

from __future__ import annotations

import copy
import logging

from rich.logging import RichHandler

from treadle.printable import printable


class TerminalHandler(RichHandler):
    """Show log records with rich; their control characters are shown escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record; what other handlers get of it stays as it is."""
        shown = copy.copy(record)
        try:
            shown.msg, shown.args = printable(record.getMessage()), ()
        except Exception:  # noqa: BLE001 - as every handler: a record that cannot be formatted is reported
            self.handleError(record)
            return
        if record.exc_info:
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            if printable(text) != text:
                shown.exc_info, shown.exc_text = None, printable(text)
        elif record.exc_text:
            shown.exc_text = printable(record.exc_text)
        super().emit(shown)
