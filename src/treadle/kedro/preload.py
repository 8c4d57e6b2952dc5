"""Import Kedro in the forkserver, so that workers forked from it start faster. Importing this module does the work.

Only the forkserver imports it. It does not import the project's code: each worker imports the code that is on disk when the
worker starts. It imports pandas if that is installed, because Kedro's catalog imports pandas for any parameters.
State: none.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from treadle.kedro.project import import_quietly

import_quietly()
for _name in ("kedro.io.data_catalog", "kedro.pipeline", "kedro.framework.hooks.manager", "treadle.kedro.pickled_run", "pandas"):
    with suppress(ImportError):  # a worker that needs it reports the error
        import_module(_name)
