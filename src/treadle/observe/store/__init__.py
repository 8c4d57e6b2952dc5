"""The session store: records, the observer that creates them from a run's events, and the database."""

from treadle.observe.store.protocol import SessionStore
from treadle.observe.store.recorder import RunRecorder
from treadle.observe.store.records import (
    ErrorRecord,
    NodeRecord,
    RunRecord,
    SessionRecord,
    SessionState,
    SessionSummary,
    WorkerRecord,
)
from treadle.observe.store.store import SQLStore

__all__ = [
    "ErrorRecord",
    "NodeRecord",
    "RunRecord",
    "RunRecorder",
    "SQLStore",
    "SessionRecord",
    "SessionState",
    "SessionStore",
    "SessionSummary",
    "WorkerRecord",
]
