"""The session: a run's life and its record, and the context that a run sees."""

from treadle.session.context import Context
from treadle.session.service import ServiceSession
from treadle.session.session import Session

__all__ = ["Context", "ServiceSession", "Session"]
