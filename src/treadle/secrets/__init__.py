"""Secret values: register them, and mask them in every text that leaves the process.

Credentials and secret parameters are registered when they are read. From then on, Treadle's error messages, failure records, log
records, the store and the command line show `***` in their place. State: the registry in `known.py`, one per process; a worker
receives its content with each run. The names below are imported on first use, because every worker imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.secrets.exceptions import masked_exception, summary_of
    from treadle.secrets.known import MASK, known_secrets, mask_secrets, secrets_in
    from treadle.secrets.locations import without_credentials
    from treadle.secrets.names import looks_secret
    from treadle.secrets.patterns import mask_patterns, mask_setting, mask_text
    from treadle.secrets.registering import register_secrets

_HOMES = {
    "MASK": "treadle.secrets.known",
    "known_secrets": "treadle.secrets.known",
    "looks_secret": "treadle.secrets.names",
    "mask_patterns": "treadle.secrets.patterns",
    "mask_secrets": "treadle.secrets.known",
    "mask_setting": "treadle.secrets.patterns",
    "mask_text": "treadle.secrets.patterns",
    "masked_exception": "treadle.secrets.exceptions",
    "register_secrets": "treadle.secrets.registering",
    "secrets_in": "treadle.secrets.known",
    "summary_of": "treadle.secrets.exceptions",
    "without_credentials": "treadle.secrets.locations",
}

__all__ = [
    "MASK",
    "known_secrets",
    "looks_secret",
    "mask_patterns",
    "mask_secrets",
    "mask_setting",
    "mask_text",
    "masked_exception",
    "register_secrets",
    "secrets_in",
    "summary_of",
    "without_credentials",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
