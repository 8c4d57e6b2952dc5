"""Prepare the texts that a worker sent for this machine.

Secrets that the worker does not know are masked, and paths of its copy of the project's code become those of this machine. State:
none. Runs in the driver. Neighbours: `pool.py` receives the texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.exceptions import pickle_exception
from treadle.execution.attempt.failure import restore_exception
from treadle.execution.protocol.messages import Failed, Hello, Logged, Output
from treadle.secrets import known_secrets, mask_secrets, masked_exception

if TYPE_CHECKING:
    from treadle.execution.executors.dask.code import ProjectCode

_TEXTS = ("msg", "exc_text", "stack_info", "pathname")
"""Attributes of a log record that may contain secrets or paths."""


def for_this_machine(fact: Any, code: ProjectCode) -> Any:
    """Return a fact with the texts in it prepared.

    Args:
        fact: what a worker sent.
        code: the project's code.
    """
    kind = type(fact)
    if kind is Logged:
        texts = {key: value for key in _TEXTS if isinstance(value := fact.attributes.get(key), str)}
        return Logged({**fact.attributes, **{key: _prepared(value, code) for key, value in texts.items()}})
    if kind is Output and isinstance(fact.text, str):
        return fact._replace(text=mask_secrets(fact.text))
    if (kind is Failed or kind is Hello) and fact.failure is not None:
        traceback = _prepared(fact.failure.traceback, code)
        message = _prepared(fact.failure.message, code)
        failure = fact.failure._replace(traceback=traceback, message=message)
        if failure.pickled is not None and known_secrets():
            failure = failure._replace(pickled=pickle_exception(masked_exception(restore_exception(failure))))
        return fact._replace(failure=failure)
    return fact


def _prepared(text: str, code: ProjectCode) -> str:
    return mask_secrets(code.with_local_paths(text))
