"""Error messages for an attempt that exceeded its timeout and for a process that could not be set up.

Used wherever nodes run, and in the parent. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.events import Failure


def describe_failed_start(worker: str, failure: Failure) -> str:
    """Return the error message for a worker, or the main process, whose set-up failed, as one paragraph."""
    what = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
    if failure.hook is not None:
        place = "The main process" if worker == "main" else worker
        return f"{place} could not be set up: the hook {failure.hook} of {failure.plugin or 'a plugin'} failed: {what}"
    if failure.type_name == "treadle.errors.RunnerError":  # Treadle's own, which says what to do
        return f"{worker} could not be set up: {failure.message}"
    return (
        f"{worker} could not be set up: {what.removesuffix('.')}. The error was raised while the worker imported the project's "
        "package and its settings, which each worker does once."
    )


def describe_timeout(node: str, limit: float, elapsed: float, *, ended: str | None = None, in_worker: bool = False) -> str:
    """Return the error message for an attempt that exceeded its timeout, as one paragraph.

    Args:
        node: the node.
        limit: the timeout in its policy, in seconds.
        elapsed: seconds that the attempt took.
        ended: the worker that was terminated; None if the node returned before that, or ran in the main process, which cannot be
            terminated.
        in_worker: whether it ran in a worker process.
    """
    if ended is not None:
        how = f"{ended} was terminated after {elapsed:.3g} s, and another worker replaces it."
    elif in_worker:
        how = f"It returned after {elapsed:.3g} s, just before its worker was terminated, and its outputs were not saved."
    else:
        how = (
            f"It returned after {elapsed:.3g} s, and its outputs were not saved. (It ran in the main process; only worker "
            "processes can be terminated at the timeout.)"
        )
    return (
        f"Node '{node}' took longer than its timeout of {limit:g} s. {how} Increase `timeout` in its policy, or make the node "
        "do less."
    )
