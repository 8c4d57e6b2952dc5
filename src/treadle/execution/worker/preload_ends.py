"""Undo what `preload_begins.py` did before a forkserver imported modules. Importing this module does the work.

Only a forkserver imports it, after all other modules. State: none.
"""

from __future__ import annotations

import signal

from treadle.execution.worker.preload_begins import handler_before, pause

pause.close()
signal.signal(signal.SIGINT, handler_before)
