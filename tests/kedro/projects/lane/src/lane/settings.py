"""Settings; LANE_HOOKS chooses the hooks."""

import os
from pathlib import Path

from lane.catalog import AuditedCatalog
from lane.hooks import Contextual, Counting, Errors, Holding

with Path("configured.txt").open("a", encoding="utf-8") as _configured:
    _configured.write(f"{os.getpid()}\n")

DATA_CATALOG_CLASS = AuditedCatalog
HOOKS = (
    Errors(),
    *((Counting(),) if "counting" in os.environ.get("LANE_HOOKS", "") else ()),
    *((Contextual(),) if "contextual" in os.environ.get("LANE_HOOKS", "") else ()),
    *((Holding(),) if "holding" in os.environ.get("LANE_HOOKS", "") else ()),
)
