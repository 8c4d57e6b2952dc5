"""What to tell a person about a worker that died: how it ended, what it was doing, and what that usually means."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from treadle.execution.attempt.verdict import describe_failed_start
from treadle.execution.processes.sizes import format_bytes

if TYPE_CHECKING:
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


def describe_exit(exitcode: int | None) -> str:
    """Return how a process ended, in words."""
    if exitcode is None:
        return "stopped talking and was ended"
    number = _signal(exitcode)
    if number is not None:
        return f"was killed by {number.name}"
    return f"died of signal {-exitcode}" if exitcode < 0 else f"exited with code {exitcode}"


def _signal(exitcode: int | None) -> signal.Signals | None:
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signal.Signals(-exitcode)
    except ValueError:
        return None
