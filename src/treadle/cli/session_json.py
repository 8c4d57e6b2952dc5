"""The record of a session as JSON, for `treadle sessions show --json`. State: none. Neighbour: `sessions.py` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from treadle.observe.store.plain import plain_value

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord


def session_json(record: SessionRecord) -> str:
    """Return a session as one JSON object, with a key for each field of the records.

    Args:
        record: the session.
    """
    return json.dumps(_value(record), indent=2, ensure_ascii=False)


def _value(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _value(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
        return {name: _value(each) for name, each in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _value(each) for key, each in value.items()}
    return plain_value(value)
