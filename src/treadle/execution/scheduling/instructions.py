"""The instructions that the scheduler returns and the loop carries out. Used in the parent. State: none."""

from __future__ import annotations

from typing import TypeAlias

from treadle.named_tuple import NamedTuple


class RunJob(NamedTuple):
    """Run nodes on a worker, one after the other.

    They are a chain, each of whose nodes needs the one before, a graph of tiny nodes, or independent tiny nodes.

    Attributes:
        worker: the worker.
        nodes: plan indices, in order.
        inputs: in-memory datasets whose values are sent with the job: those of its inputs that the worker does not have yet.
        last: (dataset, node) if the node is the dataset's last consumer: after it the value is no longer needed.
        local: datasets that are made and consumed within the job.
        independent: whether the nodes need nothing of each other, so that the worker can return those that have not started.
        returnable: whether the worker returns those that have not started although they may need the others: a graph of nodes
            that were expected to be tiny, of which one takes long.
    """

    worker: int
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    last: tuple[tuple[int, int], ...]
    local: tuple[int, ...]
    independent: bool = False
    returnable: bool = False


class LoadValue(NamedTuple):
    """Load a free input from the catalog into the store; answered by `value_arrived` or `load_failed`."""

    dataset: int
    node: int
    """The first node of a job that needs it."""


class TransferValue(NamedTuple):
    """Request a value from the worker that has it, because another worker needs it; answered by `value_arrived`."""

    dataset: int
    worker: int


class ReleaseValue(NamedTuple):
    """Release a value; `workers` are those that hold it or a copy of it."""

    dataset: int
    workers: tuple[int, ...]
    is_local: bool = False
    """Whether it never left the job that made it: the last consumer has released it."""


class SkipNode(NamedTuple):
    """Report a node as skipped."""

    node: int


class RejectNode(NamedTuple):
    """Fail a node: its inputs are in different workers, and none of them can be moved. Answered by `fail`."""

    node: int


class DecideNode(NamedTuple):
    """Decide whether a node is up to date. Answered by `reuse` or `require`."""

    node: int


class DelayNode(NamedTuple):
    """Call `wake` for a node after `seconds`."""

    node: int
    seconds: float


class CancelJobs(NamedTuple):
    """Ask a worker to return the jobs that it has not started."""

    worker: int


class RestartWorker(NamedTuple):
    """Start a process that replaces a lost worker."""

    worker: int


Instruction: TypeAlias = (
    "RunJob | LoadValue | TransferValue | ReleaseValue | SkipNode | RejectNode | DecideNode | DelayNode | CancelJobs"
    " | RestartWorker"
)
