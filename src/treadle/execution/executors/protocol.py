"""The two protocols of a backend: a pool of workers that run jobs, and a store of the values that nodes pass to each other.

`executor.py` combines a pool and a store, and adds the main process as a worker if the pool's workers are other processes. Only
`WorkerPool.start` and `WorkerPool.wait` may block. State: none. Runs in the parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from treadle.execution.executors.events import PoolEvent, Report
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Cancel, Job, Release, Started, Transfer
    from treadle.execution.protocol.placement import Placement


class Capabilities(NamedTuple):
    """What a pool can do. Other code checks these flags, never the class of a pool.

    Attributes:
        processes: its workers are other processes, so the main process is an additional worker, MAIN.
        can_kill: it can kill a worker in the middle of a node.
        queues: a worker can queue jobs, and returns them when it is asked to, or when a node takes long; the later nodes of
            that node's job, too, if they are independent.
        returns_rest: a worker also returns those that need the node, if the job says that they are returnable, and can transfer
            values that stayed within the job.
        label: name of its workers, before their number.
        recycles: its workers are replaced when they reach a limit; it has the methods `worn` and `retire`.
        concurrent: nodes run while the caller does something else; False if the only worker is the thread that calls `wait`.
        local: its workers run on this machine: their process ids are valid here, and the exit code of a lost one is known.
        sets_up_project: its workers import and configure the project themselves; False if they have this process's memory.
        label_of: returns the label of a worker, if its number does not say enough; None for `label` and the number.
        follow: called before each run with a function that returns nodes which wait for a worker, at most as many as its argument
            says; for pools whose number of workers may follow the work.
        launch: starts workers before `start` is called, at most as many as its first argument returns, None for all; they import
            the modules that it names before they are ready. For pools whose workers take a while to start, so that this goes on
            while a run is prepared.
        unreported: returns reports of the nodes that workers have finished and not reported yet, for pools that can tell. Those
            of the last `wait` may be among them, because an interrupt may have kept these from its caller.
    """

    processes: bool
    can_kill: bool
    queues: bool
    returns_rest: bool = False
    label: str = "worker"
    recycles: bool = False
    concurrent: bool = True
    local: bool = True
    sets_up_project: bool = True
    label_of: Callable[[int], str] | None = None
    follow: Callable[[Callable[[int], Sequence[int]]], None] | None = None
    launch: Callable[[Callable[[], int] | None, tuple[str, ...]], None] | None = None
    unreported: Callable[[], Sequence[Report]] | None = None


class WorkerPool(Protocol):
    """Workers that run jobs. Each has a number, from 1; in a pool without processes the worker MAIN may be one of them."""

    @property
    def capabilities(self) -> Capabilities:
        """What the pool can do."""

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Start a run: missing workers are started, and a WorkerUp reports each worker that is ready.

        Args:
            number: the run's number, which commands and facts carry; facts of other runs must be ignored.
            run: the run.

        Returns:
            The nodes that must run in the main process, in addition to those that the plan names.

        Raises:
            HookError: a plugin cannot be sent to the workers.
        """

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:
        """Send commands to a worker. It carries out its commands in order, except Cancel, which overtakes jobs."""

    def flush(self) -> None:
        """Send the commands that are still buffered, as far as possible without blocking."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until there are events, for at most `timeout` seconds, and return them.

        Ctrl-C interrupts only a `safe_point` (`processes/safe_points.py`): one belongs around what blocks, and nothing else.
        """

    def wake(self) -> None:
        """End a `wait` that another thread is in."""

    def running(self) -> dict[int, Started]:
        """Return the node that each worker is running now, whether its start was reported or not.

        `Started.since` must be a time of this machine's monotonic clock.
        """

    def kill(self, worker: int) -> None:
        """Kill a worker, even in the middle of a node; a WorkerDown follows. Only called where `capabilities.can_kill`."""

    def worn(self) -> list[int]:
        """Return the workers that have reached a limit. Only called where `capabilities.recycles`."""

    def retire(self, worker: int) -> None:
        """Stop an idle worker; no WorkerDown follows. Only called where `capabilities.recycles`."""

    def restart(self, worker: int) -> None:
        """Start a worker that replaces a lost or retired one; a WorkerUp follows."""

    def end(self) -> None:
        """End the run."""

    def close(self, *, kill: bool = False) -> None:
        """Stop the workers; `kill` stops them even in the middle of a node."""


class ValueStore(Protocol):
    """The values that nodes pass to each other, by dataset index. The scheduler, not the store, tracks where each value is.

    Nodes that run in this process load and store their values here, too. Methods may be called from two threads.
    """

    def begin(self, run: RunBundle) -> None:
        """Start a run."""

    def put(self, dataset: int, value: Any) -> Placement:
        """Store a value that jobs need, which then belongs to the store; return its placement.

        Raises:
            DatasetError: there is no room for it.
        """

    def store_output(self, dataset: int, value: Any) -> Handle:
        """Store an output of a node in this process during its attempt; `keep` follows if the attempt succeeds."""

    def fetch(self, datasets: Iterable[int]) -> bool:
        """Read the inputs of a job of this process that only a worker has; return False if one was lost with its worker."""

    def load_input(self, dataset: int, *, last: bool) -> Any:
        """Return an input for a node in this process, which may change it; `last` is True for the last consumer of the value."""

    def keep(self, outputs: Iterable[tuple[int, Handle]], worker: int) -> None:
        """Keep the handles of a node's outputs, by dataset; if the store has a value already, free the new one."""

    def keep_transferred(self, dataset: int, handle: Handle, worker: int) -> bool:
        """Keep the handle that answers a Transfer; if the value is no longer expected, free it and return False."""

    def handles(self, datasets: Iterable[int]) -> Sequence[tuple[int, Handle]]:
        """Return handles that can be sent with a job."""

    def expect_transferred(self, dataset: int, worker: int) -> int | None:
        """Expect a value from the worker that has it, which may not have been reported: it stayed within a job so far.

        Returns:
            The descriptor of reusable memory for the worker to write the value into; None if there is none.
        """

    def release(self, dataset: int) -> None:
        """Release a value."""

    def size(self, dataset: int) -> int:
        """Return the size of a value in bytes, 0 if it is unknown."""

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:
        """Remove values from the store.

        Args:
            datasets: whose values. The store need not have all of them.
            values: those that are objects of this process are added to it.
            handles: the handles of the others are added to it; the caller closes them, even after an error.

        Raises:
            DatasetError: a value is lost.
        """

    def forget_worker(self, worker: int) -> None:
        """Forget the values that only this worker held."""

    def clear(self) -> None:
        """Release the run's values."""

    def close(self) -> None:
        """Free everything."""
