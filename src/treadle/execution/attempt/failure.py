"""Turn an exception into a `Failure` record that can always be pickled, and the record back into an exception.

Runs wherever nodes run; `restore_exception` runs in the parent. State: none.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import traceback
from typing import TYPE_CHECKING

from treadle.errors import DatasetError
from treadle.execution.attempt.exceptions import pickle_exception
from treadle.secrets import mask_secrets, masked_exception
from treadle.secrets.exceptions import MaskedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.errors import TreadleError
    from treadle.events import Failure
    from treadle.pipeline import Node

_OWN_CODE = f"{os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}/"
_OWN_TESTS = f"{_OWN_CODE}testing/"  # has nodes, as a user's module has


class OriginalError(Exception):
    """Replaces a node's exception that could not be pickled; its text starts with the exception's type."""


def record_failure(
    exc: BaseException, *, phase: str, dataset: str | None = None, hook: str | None = None, plugin: str | None = None
) -> Failure:
    """Make the record of an exception.

    Args:
        exc: the exception that was raised.
        phase: the step that raised it; see `Failure.phase`.
        dataset: the dataset that was being loaded or saved.
        hook: the hook that was being called.
        plugin: the plugin whose hook raised it.

    Returns:
        The record, with the secrets that this process knows masked. A record is returned even if the exception's own methods
        raise when it is formatted or pickled.
    """
    from treadle.events import Failure  # workers whose nodes do not fail need no events

    kind = type(exc)
    exc = masked_exception(exc)
    message = _message(exc)
    if isinstance(exc, MaskedError):
        message = message.removeprefix(f"{_type_name(kind)}: ")
    return Failure(
        type_name=_type_name(kind),
        message=message,
        traceback=mask_secrets(format_user_traceback(exc)),
        pickled=pickle_exception(exc),
        dataset=dataset if dataset is not None or not isinstance(exc, DatasetError) else exc.dataset,
        phase=phase,
        hook=hook,
        plugin=plugin,
    )


def _message(exc: BaseException) -> str:
    try:
        return str.__str__(str(exc))  # a plain str: a subclass of str may not be picklable
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the exception's own __str__ raised; the failure must still be reported
        return f"<its __str__ raised {type(error).__name__}>"


def restore_exception(failure: Failure) -> BaseException:
    """Return the exception of a record, or an `OriginalError` with its text if it could not be pickled or restored."""
    if failure.pickled is not None:
        try:
            restored = pickle.loads(failure.pickled)  # noqa: S301 - a worker sent it
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - its class cannot be imported or instantiated here; OriginalError keeps the text
            restored = None
        if isinstance(restored, BaseException):
            return restored
    return OriginalError(f"{failure.type_name}: {failure.message}")


def format_user_traceback(exc: BaseException) -> str:
    """Format an exception and its causes without this package's frames.

    Args:
        exc: an exception that was raised.

    Returns:
        The text as Python would print it, without the frames of Treadle itself and of pluggy.
    """
    try:
        summary = traceback.TracebackException.from_exception(exc, compact=True)
        for part in _chain(summary):
            part.stack = traceback.StackSummary.from_list(_user_frames(part.stack))
        return "".join(summary.format())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an attribute of the exception raises, or memory has run out
        return f"{_type_name(type(exc))} (its traceback cannot be formatted: {type(error).__name__})"


def _chain(summary: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    pending: list[traceback.TracebackException | None] = [summary]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        pending += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]


def _user_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames that are not Treadle's or pluggy's, nor those of contextlib in which they enter a context manager."""
    kept = []
    hidden = False
    for frame in stack:
        hidden = _is_framework_code(frame.filename) or (hidden and frame.filename == contextlib.__file__)
        if not hidden:
            kept.append(frame)
    return kept


def _is_framework_code(filename: str) -> bool:
    ours = filename.startswith(_OWN_CODE) and not filename.startswith(_OWN_TESTS) and "/templates/" not in filename
    return ours or "/site-packages/pluggy/" in filename


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def add_node_name(exc: TreadleError, node: Node) -> None:
    """Add the name of the node to the error of a dataset, which does not know it."""
    if isinstance(exc, DatasetError) and exc.node is None:
        exc.node = node.name
