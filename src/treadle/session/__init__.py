"""Sessions: run a project's pipelines and record each run, and the context that a run uses.

The names below are imported on first use: a command that reads records needs single modules of this package, and no session.
State: none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.session.context import Context
    from treadle.session.handle import RunHandle
    from treadle.session.service import ServiceSession
    from treadle.session.session import Session

_HOMES = {
    "Context": "treadle.session.context",
    "RunHandle": "treadle.session.handle",
    "ServiceSession": "treadle.session.service",
    "Session": "treadle.session.session",
}

__all__ = ["Context", "RunHandle", "ServiceSession", "Session"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
