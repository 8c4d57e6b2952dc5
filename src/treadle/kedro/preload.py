"""What the forkserver imports for Kedro's workers, once for all of them: this module, and by it what a node needs of Kedro.

It is here to be imported, by the forkserver alone, and works when it is. Nothing of the project is in it: workers import
that themselves, as it is on disk. pandas is, where it is installed: Kedro's catalog imports it for any params. State: none.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from treadle.kedro.project import import_quietly

import_quietly()
for _name in ("kedro.io.data_catalog", "kedro.pipeline", "kedro.framework.hooks.manager", "treadle.kedro.parcel", "pandas"):
    with suppress(ImportError):  # a worker that needs it says so
        import_module(_name)
