"""Sessions: run a project's pipelines and record each run, and the context that a run uses."""

from treadle.session.context import Context
from treadle.session.handle import RunHandle
from treadle.session.service import ServiceSession
from treadle.session.session import Session

__all__ = ["Context", "RunHandle", "ServiceSession", "Session"]
