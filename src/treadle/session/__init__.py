"""Sessions: run a project's pipelines and record each run, and the context that a run uses.

What only a service needs is imported when first used: a command that runs once does without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from treadle.session.context import Context
from treadle.session.session import Session

if TYPE_CHECKING:
    from treadle.session.handle import RunHandle
    from treadle.session.service import ServiceSession

_HOMES = {"RunHandle": "treadle.session.handle", "ServiceSession": "treadle.session.service"}

__all__ = ["Context", "RunHandle", "ServiceSession", "Session"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
