"""The two protocols of a backend: a pool of workers that run jobs, and a store of the values that pass between them.

`executor.py` joins a pool and a store, adds the main process as a worker where the workers are other processes, and is what
the loop talks to. Nothing here blocks but `WorkerPool.start` and `WorkerPool.wait`. State: none. Runs in the parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Cancel, Job, Release, Started, Transfer
    from treadle.execution.protocol.placement import Placement


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a pool can do; code asks this, and never what kind of pool it is.

    Attributes:
        processes: its workers are other processes, so the main process is a worker of its own, MAIN.
        can_kill: it can end a worker in the middle of a node.
        queues: a worker can hold jobs that wait, and returns them when it is asked to or when a node takes long.
        label: what its workers are called, before their number.
        recycles: its workers are replaced when they are worn out; it has the methods `worn` and `retire`.
    """

    processes: bool
    can_kill: bool
    queues: bool
    label: str = "worker"
    recycles: bool = False


class WorkerPool(Protocol):
    """Workers that run jobs. Each has a number, from 1; in a pool without processes the worker MAIN may be one of them."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Begin a run; workers that are missing are started, and each that is ready is reported by a WorkerUp.

        Args:
            number: the run's number: commands and facts have it, and facts of other runs are to be ignored.
            run: the run.

        Returns:
            The nodes that must run in the main process beyond those that the plan names.

        Raises:
            NodeError: a node's function cannot be sent to the workers.
            HookError: a plugin cannot be sent to the workers.
        """

    def send(self, worker: int, command: Job | Transfer | Release | Cancel) -> None:
        """Give a worker a command; it carries its commands out in their order, but for Cancel, which overtakes jobs."""

    def flush(self) -> None:
        """Send what was given to workers so far, as far as that needs no waiting."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until something happened, at most so many seconds, and return what happened."""

    def wake(self) -> None:
        """End a `wait` that another thread is in."""

    def running(self) -> dict[int, Started]:
        """Return what each worker is running now, reported or not: when it started which node."""

    def kill(self, worker: int) -> None:
        """End a worker whatever it does; its WorkerDown follows. Only called where `capabilities.can_kill`."""

    def worn(self) -> list[int]:
        """Return the workers that have reached a limit. Only called where `capabilities.recycles`."""

    def retire(self, worker: int) -> None:
        """Have an idle worker end; no WorkerDown follows. Only called where `capabilities.recycles`."""

    def restart(self, worker: int) -> None:
        """Start another worker in the place of one that is gone; its WorkerUp follows."""

    def end(self) -> None:
        """Forget the run."""

    def close(self, *, kill: bool = False) -> None:
        """End the workers: idle ones are asked to end; `kill` ends them whatever they do."""


class ValueStore(Protocol):
    """The parent's side of the values that pass between nodes, by dataset index; where each value is, the scheduler knows.

    The nodes that run in this process give and take their values here too. Methods may be called from two threads.
    """

    def begin(self, run: RunBundle) -> None:
        """Begin a run."""

    def put(self, dataset: int, value: Any) -> Placement:
        """Take a value that jobs need, which the caller gives up; return where it is now.

        Raises:
            DatasetError: there is no room for it.
        """

    def give(self, dataset: int, value: Any) -> Handle:
        """Take an output of a node in this process while its attempt lasts; `keep` follows where the attempt succeeds."""

    def take(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process, the caller's own; `last` where no other node takes it."""

    def keep(self, dataset: int, handle: Handle, worker: int) -> None:
        """Keep the handle of a value that a node made; where the store has the value already, free the new one."""

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:
        """Keep the handle that answers a Publish; return False, and free it, where the value is not expected any more."""

    def handles(self, datasets: Iterable[int]) -> Sequence[tuple[int, Handle]]:
        """Return handles that can be sent with a job."""

    def spare(self, dataset: int) -> int | None:
        """Return a descriptor of memory into which a worker can write this value for its transfer; None where there is none."""

    def release(self, dataset: int) -> None:
        """Forget a value."""

    def size(self, dataset: int) -> int:
        """Return the bytes of a value, 0 where they were not counted."""

    def detach(self, dataset: int) -> Handle | None:
        """Give a value to the caller, who closes its handle; None where the store does not have it."""

    def forget_worker(self, worker: int) -> None:
        """Forget the values that only this worker had."""

    def clear(self) -> None:
        """Forget the run's values."""

    def close(self) -> None:
        """Free everything."""
