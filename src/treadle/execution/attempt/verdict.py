"""What to tell a person about an attempt that took too long, and about a process that cannot run nodes. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.events import Failure


def describe_failed_start(worker: str, failure: Failure) -> str:
    """Return what to tell about a failure that makes a worker, or the main process, unfit to run nodes, as one paragraph."""
    what = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
    if failure.hook is not None:
        place = "The main process" if worker == "main" else worker
        return f"{place} could not be set up: the hook {failure.hook} of {failure.plugin or 'a plugin'} failed: {what}"
    return (
        f"{worker} could not be set up: {what}. Each worker imports the project's package and its settings once; the error "
        "came from there."
    )


def describe_timeout(node: str, limit: float, elapsed: float, *, ended: str | None = None) -> str:
    """Return the verdict on an attempt that took too long, as one paragraph.

    Args:
        node: the node.
        limit: seconds that its policy allows.
        elapsed: seconds that it took.
        ended: the worker that was ended for it; None where the node ran in a process that cannot be ended, and came back.
    """
    if ended is not None:
        how = f"{ended} was ended after {elapsed:.3g} s, and another worker takes its place."
    else:
        how = (
            f"It came back after {elapsed:.3g} s, and what it made was not saved. (It ran in the main process; only worker "
            "processes can be ended at the limit.)"
        )
    return f"Node '{node}' took longer than its timeout of {limit:g} s. {how} Raise `timeout` in its policy, or let it do less."
