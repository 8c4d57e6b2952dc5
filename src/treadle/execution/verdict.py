"""What to tell a person about a worker that died: how it ended, what it was doing, and what that usually means."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.events import Failure
    from treadle.execution.executors.events import SetupFailed, WorkerDown

_LIKELY = {
    signal.SIGKILL: "Something killed it: most often the kernel, because memory ran out, or a limit of the container or the "
    "batch system. Run with fewer workers, or let the node take its data in parts.",
    signal.SIGSEGV: "Compiled code in a library accessed memory it must not; the stack stands above, from faulthandler. "
    "Look for a new version of that library, and for threads used together with fork.",
    signal.SIGBUS: "It accessed memory that was not there: a mapped file was cut off, or the disk or memory was full.",
    signal.SIGABRT: "A library gave up by itself; its last words stand above.",
    signal.SIGTERM: "Somebody asked it to end; the batch system may have.",
    signal.SIGXCPU: "It used up its limit of processor time.",
}


def describe_loss(worker: str, event: WorkerDown, node: str | None, sizes: tuple[tuple[str, int], ...]) -> str:
    """Return the verdict on a lost worker, as one paragraph.

    Args:
        worker: its label.
        event: what is known of its end.
        node: the node that it was running, None where it was idle.
        sizes: bytes of the node's in-memory inputs, by name.
    """
    doing = f"while it ran node '{node}'" if node is not None else "between two nodes"
    if event.failure is not None:
        what = f"{event.failure.type_name}: {event.failure.message}" if event.failure.message else event.failure.type_name
        ended = f"ended because of an error outside of the node's own code, {what},"
    else:
        ended = describe_exit(event.exitcode)
    parts = [f"{worker} (pid {event.pid}) {ended} {doing}."]
    if event.peak_memory:
        parts.append(f"Its memory had peaked at {format_bytes(event.peak_memory)}.")
    if sizes:
        parts.append(f"The node's inputs: {', '.join(f'{name} {format_bytes(size)}' for name, size in sizes)}.")
    number = _signal(event.exitcode)
    if event.failure is not None:
        parts.append("Probably memory or file descriptors ran out; otherwise it is a defect of Treadle.")
    elif number in _LIKELY:
        parts.append(_LIKELY[number])
    elif event.exitcode is not None and event.exitcode >= 0:
        parts.append("Something in the process ended it (os._exit, or a library that exits on errors).")
    if node is None:
        parts.append("No node was at fault; another worker takes its place.")
    text = " ".join(parts)
    return f"Node '{node}' lost its worker: {text}" if node is not None else text


def describe_setup_failure(worker: str, event: SetupFailed) -> str:
    """Return what to tell about a worker that could not be set up, as one paragraph."""
    if event.failure is None:
        pid = f" (pid {event.pid})" if event.pid else ""
        likely = _LIKELY.get(number) if (number := _signal(event.exitcode)) is not None else None
        if likely is None:
            likely = (
                "Its last output may stand above. Probably the project's package ends the process at import, or the process "
                "may not start others here."
            )
        return f"{worker}{pid} {describe_exit(event.exitcode)} before it was set up. {likely}"
    return describe_failed_start(worker, event.failure)


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


def describe_exit(exitcode: int | None) -> str:
    """Return how a process ended, in words."""
    if exitcode is None:
        return "stopped talking and was ended"
    number = _signal(exitcode)
    if number is not None:
        return f"was killed by {number.name}"
    return f"died of signal {-exitcode}" if exitcode < 0 else f"exited with code {exitcode}"


def format_bytes(size: float) -> str:
    """Return a size for people: `1.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _signal(exitcode: int | None) -> signal.Signals | None:
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signal.Signals(-exitcode)
    except ValueError:
        return None
