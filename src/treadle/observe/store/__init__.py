"""The store of sessions: records, the observer that makes them from a run's events, and where they are kept."""

from treadle.observe.store.recorder import RunRecorder
from treadle.observe.store.records import (
    ErrorRecord,
    NodeRecord,
    RunRecord,
    SessionRecord,
    SessionSummary,
    WorkerRecord,
)
from treadle.observe.store.store import SessionStore, SQLStore

__all__ = [
    "ErrorRecord",
    "NodeRecord",
    "RunRecord",
    "RunRecorder",
    "SQLStore",
    "SessionRecord",
    "SessionStore",
    "SessionSummary",
    "WorkerRecord",
]
