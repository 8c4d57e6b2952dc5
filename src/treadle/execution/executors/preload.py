"""What the forkserver imports before it forks workers, so that each of them has it at once.

Only Treadle, loky and the large numeric libraries that this process has loaded already: they do not change while a batch
job lasts, and importing them starts no threads. A project's own modules are left to the workers, which import them anew
when they changed. The forkserver is the process's own and is started once; what an application has set for it stays.
"""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import forkserver

LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib"})
"""Slow to import, known to be safe to fork after they were imported."""

_ENGINE = ("loky.process_executor", "treadle.execution.bootstrap", "treadle.execution.worker")


def preload_forkserver(*others: str) -> tuple[str, ...]:
    """Tell the forkserver what to import when it starts; without effect once it runs.

    Args:
        *others: more modules that do not change while a batch job lasts.

    Returns:
        The names of the modules.
    """
    loaded = [name for name in sorted(sys.modules) if name.partition(".")[0] in LIBRARIES and "._" not in name]
    # The application's own list cannot be asked for in a public way; `__main__` on it is what Treadle hides.
    before = getattr(forkserver._forkserver, "_preload_modules", [])  # noqa: SLF001 - see above
    kept = [name for name in before if name != "__main__"]
    wanted = tuple(dict.fromkeys([*kept, *_ENGINE, *others, *loaded]))
    multiprocessing.set_forkserver_preload(list(wanted))
    return wanted
