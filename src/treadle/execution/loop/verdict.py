"""Messages about workers that died: how the process ended, what it was doing, and the likely cause.

State: none. Runs in the parent. Neighbours: `losses.py` and `failure_handler.py` use them.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from treadle.execution.attempt.verdict import describe_failed_start
from treadle.execution.processes.sizes import format_bytes
from treadle.exits import describe_exit, signal_of

if TYPE_CHECKING:
    from treadle.execution.executors.events import SetupFailed, WorkerDown

_LIKELY_CAUSES = {
    signal.SIGKILL: "The most frequent cause is that memory ran out, or that a limit of the container or the batch system was "
    "reached. Run with fewer workers, or let the node process its data in parts.",
    signal.SIGSEGV: "Compiled code in a library accessed invalid memory; faulthandler printed the stack above. "
    "Look for a newer version of that library, and for threads that are used together with fork.",
    signal.SIGBUS: "It accessed memory that no longer exists: a memory-mapped file was truncated, or disk or memory was full.",
    signal.SIGABRT: "A library called abort(); its last output is above.",
    signal.SIGTERM: "Another program asked it to terminate, perhaps the batch system.",
    signal.SIGXCPU: "It reached its limit of CPU time.",
}


def describe_loss(worker: str, event: WorkerDown, node: str | None, sizes: tuple[tuple[str, int], ...]) -> str:
    """Return the message about a lost worker, one paragraph.

    Args:
        worker: its label.
        event: the event that reports how it ended.
        node: the node that it was running, None if it was idle.
        sizes: bytes of the node's in-memory inputs, by name.
    """
    doing = f"while it ran node '{node}'" if node is not None else "between two nodes"
    if event.failure is not None:
        what = f"{event.failure.type_name}: {event.failure.message}" if event.failure.message else event.failure.type_name
        ended = f"ended because of an error outside the node's own code ({what})"
    else:
        ended = describe_exit(event.exitcode)
    parts = [f"{worker} (pid {event.pid}) {ended} {doing}."]
    if event.peak_memory:
        parts.append(f"Its memory had peaked at {format_bytes(event.peak_memory)}.")
    if sizes:
        parts.append(f"The node's inputs in memory: {', '.join(f'{name} {format_bytes(size)}' for name, size in sizes)}.")
    number = signal_of(event.exitcode)
    if event.failure is not None:
        parts.append("Memory or file descriptors probably ran out; otherwise this is a bug in Treadle, so please report it.")
    elif event.reason is not None:
        parts.append(event.reason)
    elif number in _LIKELY_CAUSES:
        parts.append(_LIKELY_CAUSES[number])
    elif event.exitcode is not None and event.exitcode >= 0:
        parts.append("Code in the process ended it (os._exit, or a library that exits on errors).")
    if node is None:
        parts.append("No node is at fault; a new worker replaces it.")
    text = " ".join(parts)
    return f"Node '{node}' lost its worker: {text}" if node is not None else text


def describe_setup_failure(worker: str, event: SetupFailed) -> str:
    """Describe a worker that could not be set up, in one paragraph."""
    if event.failure is None:
        pid = f" (pid {event.pid})" if event.pid else ""
        likely = _LIKELY_CAUSES.get(number) if (number := signal_of(event.exitcode)) is not None else None
        if likely is None:
            likely = (
                "Its last output may be above. Probably the project's package ends the process when it is imported, or "
                "processes may not be started here."
            )
        return f"{worker}{pid} {describe_exit(event.exitcode)} before it was set up. {likely}"
    return describe_failed_start(worker, event.failure)
