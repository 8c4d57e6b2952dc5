"""Find the thread pools of the numeric libraries that are loaded. Importing this module does the work.

Only a forkserver imports it, after these libraries, so that the workers that are forked from the server need not look for them.
State: none.
"""

from __future__ import annotations

from treadle.execution.processes.thread_pools import find_thread_pools

find_thread_pools()
