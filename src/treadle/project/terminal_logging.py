"""A rich log handler for terminals; importing this module imports rich. State: none. Neighbours: `logging.py` configures it."""

from __future__ import annotations

import copy
import logging

from rich.logging import RichHandler

from treadle.printable import printable


class TerminalHandler(RichHandler):
    """Show log records with rich, with control characters escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a copy of the record, so that other handlers receive it unchanged."""
        shown = copy.copy(record)
        try:
            shown.msg, shown.args = printable(record.getMessage()), ()
        except Exception:  # noqa: BLE001 - reported by `handleError`, as in every logging handler
            self.handleError(record)
            return
        if record.exc_info:
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            if printable(text) != text:
                shown.exc_info, shown.exc_text = None, printable(text)
        elif record.exc_text:
            shown.exc_text = printable(record.exc_text)
        super().emit(shown)
