"""Ignore Ctrl-C and pause garbage collection while a forkserver imports modules. Importing this module does the work.

It also registers what the server does when it exits, which is when its parent and all workers have ended: if the parent was
killed before it had a pool, and so nothing that cleans up after it, the directory with the server's socket is still there.

Ctrl-C in a terminal reaches all processes. The server ignores it too once it serves, but during its imports it would print a
traceback. Only a forkserver imports this module, before all others; `preload_ends.py` undoes it, because processes that the
server forks for other code get the handler that it has then. State: the handler that was replaced, and the pause.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack

from treadle.collector import collection_paused
from treadle.execution.processes.scratch import sweep_at_exit

handler_before = signal.signal(signal.SIGINT, signal.SIG_IGN)
"""The handler that `preload_ends.py` installs again."""

pause = ExitStack()
"""Closed by `preload_ends.py`. A run waits for these imports, and collections would traverse all modules again and again."""
pause.enter_context(collection_paused(imports=True))

sweep_at_exit()
