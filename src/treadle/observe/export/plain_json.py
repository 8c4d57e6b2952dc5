"""A session as plain JSON: the record with every field, below a name and a version of the format. State: none.

docs/exports.md describes the fields. A field is only added within a version; a change of the others makes a new version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.observe.store.log_lines import log_lines
from treadle.observe.store.plain import plain_value
from treadle.observe.store.records import RunRecord

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord

FORMAT = {"format": "treadle-session", "version": 1}
"""The first two keys of the object."""


def session_json(record: SessionRecord) -> str:
    """Return a session as one JSON object, with a key for each field of the records.

    Args:
        record: the session.
    """
    return json.dumps({**FORMAT, **plain_record(record)}, indent=2, ensure_ascii=False)


def plain_record(value: Any) -> Any:
    """Return a record, or a value in one, as JSON-compatible data, with a key for each field."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
        values = value._asdict()
        if isinstance(value, RunRecord):
            values["log"] = log_lines(value.log)  # one by one
        return {name: plain_record(each) for name, each in values.items()}
    if isinstance(value, (list, tuple)):
        return [plain_record(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain_record(each) for key, each in value.items()}
    return plain_value(value)
