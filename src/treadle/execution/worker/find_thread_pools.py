"""Find the thread pools of the numeric libraries that are loaded. Importing this module does the work.

A process that forks workers imports it after these libraries: a forkserver, or the parent under fork. What threadpoolctl looks up
is cached, so each worker limits its threads several times faster; it still finds libraries that were loaded later. State: that
cache.
"""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

ThreadpoolController()
