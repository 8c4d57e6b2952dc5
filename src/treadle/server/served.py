"""A run that a server has started, its start, and the log line of its failure.

State: that of one run, changed by `runs.py`; `views.py` describes it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.clock import Clock
from treadle.errors import TreadleError
from treadle.server.problems import error_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.server.queue import Accepted
    from treadle.session import RunHandle, ServiceSession

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ServedRun:
    """A run that was started by this server.

    Attributes:
        accepted: what was asked for.
        handle: its handle.
        started: when it started, in seconds since the epoch.
        finished: when it ended; None while it runs.
        is_cancelled: whether a client cancelled it.
        usual_seconds: how long the last run of the same nodes took; None if there was none.
        is_noted: set when the server has noted its end.
    """

    accepted: Accepted
    handle: RunHandle
    started: float
    finished: float | None = None
    is_cancelled: bool = False
    usual_seconds: float | None = None
    clock: Clock = field(default_factory=Clock)
    is_noted: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> str:
        """Its state, as clients see it."""
        if self.handle.status == "cancelled" and not self.is_cancelled:
            return "interrupted"
        return "running" if self.handle.status == "queued" else self.handle.status  # no other run is before it


def start_run(
    service: ServiceSession, accepted: Accepted, observer: Callable[[Any], None], usual_seconds: float | None
) -> ServedRun | None:
    """Start a run; return None if the service refuses it, which is logged.

    Args:
        service: runs it.
        accepted: what was asked for.
        observer: receives its events.
        usual_seconds: how long the last run of the same nodes took.
    """
    body = accepted.body
    try:
        handle = service.submit(
            extra_params=body.params,
            inputs=body.inputs or None,
            run_id=accepted.run_id,
            observers=[observer],
            resume=accepted.resumes,
            **body.arguments(),
        )
    except Exception:
        _logger.exception("The run %s cannot be started.", accepted.run_id)
        return None
    return ServedRun(accepted, handle, time.time(), usual_seconds=usual_seconds)


def log_failure(run_id: str, error: BaseException) -> None:
    """Log why a run failed; the traceback of an error of the project is in the record of the run.

    Args:
        run_id: the run.
        error: its error.
    """
    if isinstance(error, TreadleError):
        _logger.error("The run %s failed: %s", run_id, error_view(error, debug=True).message)
    else:
        _logger.error("The run %s failed.", run_id, exc_info=error)
