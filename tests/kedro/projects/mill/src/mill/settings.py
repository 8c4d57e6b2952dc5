"""Settings; each process that reads them says so."""

import os
from pathlib import Path

from mill.hooks import EveryCall

with Path("configured.txt").open("a", encoding="utf-8") as _configured:
    _configured.write(f"{os.getpid()}\n")

HOOKS = (EveryCall(),)
