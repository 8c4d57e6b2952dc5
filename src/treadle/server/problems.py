"""Turn exceptions into responses: a status, a type and a message without paths of this machine and without secrets.

State: none. Neighbours: `app.py` registers the handlers; `runs.py` describes the errors of runs.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from treadle.errors import NodeError, TreadleError
from treadle.secrets import mask_text
from treadle.server.models import ErrorView

if TYPE_CHECKING:
    from treadle.observe.store import ErrorRecord

_logger = logging.getLogger(__name__)

_START = r"(?:file:/{0,2}|sqlite:/{2,3})?~?/"
_PATH = re.compile(rf"(?<=['\"]){_START}[^'\"\n]+(?=['\"])|(?<![\w.:/>~]){_START}[\w.\-+@%=~/]*[\w\-+@%=~/]")
"""An absolute path: between quotes, where it may contain spaces, or a word."""
_RESUME = re.compile(r"\n*(?:Resume the run from here with:|To resume).*", re.DOTALL)
_SHORT = 4000


class Problem(Exception):  # noqa: N818 - a response, which a handler sends
    """A request that cannot be answered as asked.

    Args:
        status: the HTTP status.
        type_name: what is wrong, as one word.
        message: what happened, and what to do.
        retry_after: seconds after which the client may try again.
    """

    def __init__(self, status: int, type_name: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = ErrorView(type=type_name, message=message)
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def error_view(error: BaseException, *, debug: bool) -> ErrorView:
    """Describe an exception for a response.

    Args:
        error: the exception.
        debug: whether paths and the traceback are included.
    """
    import traceback

    failure = error.failure if isinstance(error, NodeError) else None
    trace = failure.traceback if failure is not None else "".join(traceback.format_exception(error))
    message = str(error.args[0]) if isinstance(error, NodeError) and error.args else str(error)
    node = error.node if isinstance(error, NodeError) else None
    return _view(type(error).__name__, message, node, trace, debug=debug)


def recorded_error(error: ErrorRecord, *, debug: bool) -> ErrorView:
    """Describe a recorded error for a response.

    Args:
        error: the record.
        debug: whether paths and the traceback are included.
    """
    return _view(error.type_name.rpartition(".")[2], error.message, error.node, error.traceback, debug=debug)


def public_text(text: str, *, debug: bool = False) -> str:
    """Return a text without secrets, and without paths of this machine unless they are wanted.

    Args:
        text: any text.
        debug: whether paths stay.
    """
    text = mask_text(text).encode("utf-8", "replace").decode("utf-8")
    return text if debug else _PATH.sub("<path>", text)[:_SHORT]


def status_of(error: TreadleError) -> int:
    """Return the HTTP status of an error: of what a request asks for, of the session store, or another one."""
    from treadle.errors import ConfigError, PipelineError, RunnerError, SessionError, StoreError

    if isinstance(error, StoreError):
        return 503
    return 422 if isinstance(error, (ConfigError, PipelineError, RunnerError, SessionError)) else 500


def log_failure(request: str, status: int, error: TreadleError) -> None:
    """Log an error that whoever runs the server has to remedy, and not the client that gets it.

    Args:
        request: its method and path.
        status: the HTTP status of the answer.
        error: the error.
    """
    _logger.error("%s was answered with status %d: %s", request, status, error)


def unknown_run(run_id: str) -> Problem:
    """Return the problem of a run that does not exist."""
    return Problem(404, "UnknownRun", f"There is no run {public_text(run_id)[:100]!r}.")


def _view(type_name: str, message: str, node: str | None, trace: str, *, debug: bool) -> ErrorView:
    return ErrorView(
        type=type_name,
        message=public_text(_RESUME.sub("", message), debug=debug),
        node=node,
        traceback=public_text(trace, debug=True) if debug else None,
    )
