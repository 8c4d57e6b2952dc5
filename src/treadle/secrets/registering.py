"""Register secrets, so that they are masked in texts and log records. State: that of `known.py` and `logs.py`."""

from __future__ import annotations

from typing import Any

from treadle.secrets.known import add_secrets
from treadle.secrets.logs import mask_log_records


def register_secrets(secrets: Any) -> None:
    """Register values, which are then masked in every text that leaves this process.

    Args:
        secrets: a value, or nested mappings and sequences of values. Mapping keys, None, booleans and values shorter than
            `SHORTEST_SECRET` are not registered.
    """
    if add_secrets(secrets):
        mask_log_records()
