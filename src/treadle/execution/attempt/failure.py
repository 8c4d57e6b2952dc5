"""Turn an exception into plain facts that always cross a process, and the facts back into an error for the caller."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import DatasetError
from treadle.events import Failure
from treadle.execution.attempt.exceptions import pickle_exception
from treadle.secrets import mask_secrets, masked_exception
from treadle.secrets.exceptions import MaskedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN_CODE = str(Path(__file__).resolve().parents[2]) + "/"


class OriginalError(Exception):
    """Stands in for a node's exception that did not survive pickling; its text begins with the exception's type."""


def record_failure(
    exc: BaseException, *, phase: str, dataset: str | None = None, hook: str | None = None, plugin: str | None = None
) -> Failure:
    """Make the record of an exception.

    Args:
        exc: what was raised.
        phase: what was being done, as `Failure.phase` says.
        dataset: the dataset that was being loaded or saved.
        hook: the hook that was being called.
        plugin: the plugin that raised it.

    Returns:
        The record, without the secrets that this process knows. Whatever the exception's class does when it is printed or
        pickled, this returns one.
    """
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
        return str.__str__(str(exc))  # without the class, which may not be picklable, where it is one derived from str
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the exception's own __str__ failed: say so rather than lose the failure
        return f"<its __str__ raised {type(error).__name__}>"


def restore_exception(failure: Failure) -> BaseException:
    """Return the exception of a record, or its stand-in where it did not survive."""
    if failure.pickled is not None:
        try:
            restored = pickle.loads(failure.pickled)  # noqa: S301 - an authenticated worker sent it
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - its class cannot be imported or made here: the stand-in below has its text
            restored = None
        if isinstance(restored, BaseException):
            return restored
    return OriginalError(f"{failure.type_name}: {failure.message}")


def format_user_traceback(exc: BaseException) -> str:
    """Format an exception and its causes without this package's frames.

    Args:
        exc: an exception that was raised.

    Returns:
        The text as Python would print it; the frames of Treadle itself, and of the plugin machinery, are left out.
    """
    try:
        summary = traceback.TracebackException.from_exception(exc, compact=True)
        for part in _chain(summary):
            kept = [frame for frame in part.stack if not _is_ours(frame.filename)]
            part.stack = traceback.StackSummary.from_list(kept)
        return "".join(summary.format())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the exception's own attributes raise, or memory has run out
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


def _is_ours(filename: str) -> bool:
    return (filename.startswith(_OWN_CODE) and "/templates/" not in filename) or "/site-packages/pluggy/" in filename


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
