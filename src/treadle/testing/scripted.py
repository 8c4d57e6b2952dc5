"""An executor that returns scripted events: for tests of the loop with events that real workers rarely send.

Runs in the parent; there are no workers. State: the rest of the script, and the commands that the loop has sent.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from treadle.execution.executors.executor import Executor
from treadle.execution.executors.local_store import LocalStore
from treadle.execution.executors.protocol import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.messages import Cancel, Job, Release, Started, Transfer


class ScriptedPool:
    """A worker pool whose events are given in advance.

    Args:
        script: for each call of `wait`, the events that it returns.
        capabilities: the capabilities that the pool declares.

    Attributes:
        sent: each command with its worker, in order.
        restarted: the workers that were restarted, in order.
        killed: the workers that were killed, in order.
    """

    def __init__(self, script: Sequence[Sequence[PoolEvent]], capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.sent: list[tuple[int, Job | Transfer | Release | Cancel]] = []
        self.restarted: list[int] = []
        self.killed: list[int] = []
        self._script = deque(script)

    def start(self, number: int, run: RunBundle) -> frozenset[int]:  # noqa: ARG002 - the script determines the events
        """Start a run; the script contains the events of workers that become ready."""
        return frozenset()

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:
        """Record commands."""
        self.sent.extend((worker, command) for command in commands)

    def flush(self) -> None:
        """Do nothing."""

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Return the next events of the script.

        Raises:
            AssertionError: the script has ended and the loop waits for more.
        """
        if not self._script:
            msg = f"the script has ended, but the loop waits (timeout: {timeout}); it has sent: {self.sent}"
            raise AssertionError(msg)
        return list(self._script.popleft())

    def wake(self) -> None:
        """Do nothing: only one thread waits."""

    def running(self) -> dict[int, Started]:
        """Return nothing: no node runs."""
        return {}

    def kill(self, worker: int) -> None:
        """Record that a worker was killed; the script contains the events that follow."""
        self.killed.append(worker)

    def worn(self) -> list[int]:
        """Return none."""
        return []

    def retire(self, worker: int) -> None:
        """Do nothing."""

    def restart(self, worker: int) -> None:
        """Record that a worker was restarted; the script contains its WorkerUp."""
        self.restarted.append(worker)

    def end(self) -> None:
        """Do nothing."""

    def close(self, *, kill: bool = False) -> None:
        """Do nothing."""


def scripted_executor(*script: Sequence[PoolEvent], capabilities: Capabilities | None = None) -> tuple[Executor, ScriptedPool]:
    """Make an executor that returns scripted events.

    Args:
        script: for each `wait` of the loop, the events that it returns.
        capabilities: the capabilities of the pool; by default its workers queue jobs and are in this process.

    Returns:
        The executor, and its pool, which records the commands that the loop sends.
    """
    pool = ScriptedPool(script, capabilities or Capabilities(processes=False, can_kill=False, queues=True, sets_up_project=False))
    return Executor(pool, LocalStore()), pool
