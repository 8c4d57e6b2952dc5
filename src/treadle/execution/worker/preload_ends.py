"""Restore the handler of Ctrl-C that `preload_begins.py` replaced. Importing this module does the work.

Only a forkserver imports it, after all other modules. State: none.
"""

from __future__ import annotations

import signal

from treadle.execution.worker.preload_begins import handler_before

signal.signal(signal.SIGINT, handler_before)
