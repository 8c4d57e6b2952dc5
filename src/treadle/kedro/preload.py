"""What the forkserver imports for Kedro's workers, once for all of them: this module, and by it what a node needs of Kedro.

Only the forkserver imports this module, and the import itself does the work. It imports nothing of the project: workers import
its code themselves, as it is on disk. It imports pandas if that is installed, because Kedro's catalog imports it for any params.
State: none.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from treadle.kedro.project import import_quietly

import_quietly()
for _name in ("kedro.io.data_catalog", "kedro.pipeline", "kedro.framework.hooks.manager", "treadle.kedro.parcel", "pandas"):
    with suppress(ImportError):  # a worker that needs it reports the error
        import_module(_name)
