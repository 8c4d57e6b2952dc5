"""Secret values: which ones this process knows, and how they are masked before text leaves it.

Credentials and secret parameters are registered where they are read. From then on the messages of Treadle's errors, the records
of failures, log records, the store and the command line show `***` in their place. The registry is the one piece of
process-wide state; a worker gets its content with each run. The names below are imported when first used: every worker
imports this package, and few need all of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.secrets.exceptions import masked_exception
    from treadle.secrets.known import MASK, known_secrets, mask_secrets
    from treadle.secrets.names import looks_secret
    from treadle.secrets.patterns import mask_patterns, mask_setting
    from treadle.secrets.registering import register_secrets

_HOMES = {
    "MASK": "known",
    "known_secrets": "known",
    "looks_secret": "names",
    "mask_patterns": "patterns",
    "mask_secrets": "known",
    "mask_setting": "patterns",
    "masked_exception": "exceptions",
    "register_secrets": "registering",
}

__all__ = [
    "MASK",
    "known_secrets",
    "looks_secret",
    "mask_patterns",
    "mask_secrets",
    "mask_setting",
    "masked_exception",
    "register_secrets",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'treadle.secrets' has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(f"treadle.secrets.{home}"), name)
    return value
