"""Keep Python's cycle collector from walking a large plan again and again.

A plan of many nodes is some hundred thousand small objects that stay. The collector counts what is made and, the more
there is, the more often it walks all of it, to find nothing: measured on 10,000 nodes, half of the parent's time.

State: the collector's own switches, which are the process's; each function puts back what it found, and does nothing where
somebody else has changed them before.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY_NODES = 1_000
_MANY_FROZEN = 1_000
"""With fewer frozen objects nobody has frozen any: Python 3.12 itself begins with some hundreds."""


@contextmanager
def collection_paused() -> Iterator[None]:
    """Collect no cycles for the length of the block, which makes much that stays and runs nobody else's code."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def plan_left_out(nodes: int) -> Iterator[None]:
    """Leave all that is there now out of the collections of a long run; what the run makes is collected as ever.

    Args:
        nodes: how many nodes the run has; with few it is not worth it, and nothing is done.
    """
    if nodes < _MANY_NODES or gc.get_freeze_count() > _MANY_FROZEN:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
