"""Find the thread pools of the numeric libraries that are loaded. Importing this module does the work.

Only a forkserver imports it, after these libraries: what threadpoolctl looks up is cached, so each worker that is forked from the
server limits its threads several times faster. State: that cache.
"""

from __future__ import annotations

from threadpoolctl import threadpool_info

threadpool_info()
