"""What a driver and a dask worker send each other in addition to the messages of every backend. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.protocol.placement import Placement
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.events import Failure
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Job

OPEN, FETCH, KILL = "treadle_open", "treadle_fetch", "treadle_kill"
"""Operations that a dask worker with Treadle's handlers understands: open a stream, read a value, end the process."""


class Opened(NamedTuple):
    """The answer to an OPEN.

    Attributes:
        blackboard: the path of the worker's blackboard; None if the worker has no part of the pool, because of the failure.
        failure: what was raised.
    """

    blackboard: str | None
    failure: Failure | None = None


class DatasetPart(NamedTuple):
    """A dataset for a worker: its name, its pickle, and the secrets in it."""

    name: str
    pickled: bytes
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DatasetPart({self.name!r})"  # the pickle may contain credentials


class QueuedJob(NamedTuple):
    """A job, its sequence number among the jobs for a worker, and the datasets that it is the first there to use."""

    sequence: int
    job: Job
    datasets: tuple[DatasetPart, ...] = ()


class TaskEnded(NamedTuple):
    """A dask task ended; jobs with a later sequence number need another one."""

    sequence: int


class UseBlackboard(NamedTuple):
    """The driver or a nanny can read the worker's blackboard, so nodes may start before their start was sent."""


class RunFiles(NamedTuple):
    """Files of the directory that the processes of a run share, by name; the first such message, to a worker, may have none."""

    run: int
    files: tuple[tuple[str, bytes], ...] = ()


class InputsLost(NamedTuple):
    """Nodes that did not start, because an input could not be read from its worker; its address, and why."""

    run: int
    nodes: tuple[int, ...]
    address: str
    reason: str


class ShutDown(NamedTuple):
    """The dask worker is being shut down in an orderly way: no node is at fault for its end."""


class EndKeepAlive(NamedTuple):
    """The worker's values are not needed any more: the task that keeps adaptive scaling from removing it ends."""


class ClusterValue(NamedTuple):
    """A large value in the dask worker that made it; other workers read it from there."""

    worker: int
    size: int
    address: str
    pool: str
    """The pool whose value it is: the worker may have values of several."""

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing in this process."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In its worker, from which the others read it."""
        return Placement(self.worker, size=self.size, direct=True)

    @property
    def fd(self) -> int | None:
        """None: it has no file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Raise: the value must be read from its worker first.

        Raises:
            UnpicklableValueError: always.
        """
        msg = f"it is in the dask worker at {self.address}"
        raise UnpicklableValueError(msg)

    def close(self) -> None:
        """Do nothing: the worker releases it."""


class Pushed(NamedTuple):
    """A large pickled value from the driver; a worker keeps it until it is released."""

    data: bytes
    buffers: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.data) + sum(map(len, self.buffers))

    @property
    def memory(self) -> tuple[int, int]:
        """Nothing that is counted."""
        return 0, 0

    @property
    def placement(self) -> Placement:
        """In the store; workers keep it."""
        return Placement(size=self.size, retained=True)

    @property
    def worker(self) -> int | None:
        """None: it can be loaded from this handle."""
        return None

    @property
    def fd(self) -> int | None:
        """None: it has no file."""
        return None

    @property
    def needs_descriptor(self) -> bool:
        """False: it has no file."""
        return False

    def with_descriptor(self, fd: int | None) -> Handle:  # noqa: ARG002 - it has no file
        """Return the handle itself."""
        return self

    def load(self) -> Any:
        """Unpickle the value."""
        import pickle

        return pickle.loads(self.data, buffers=[bytearray(buffer) for buffer in self.buffers])  # noqa: S301 - see Inline

    def close(self) -> None:
        """Do nothing: it owns nothing."""
