"""What an attempt at a node goes by: what the process has of the run, the steps of the attempt, and how long they took.

Another framework may take a node through those steps in its own way: its `AttemptStrategy`. State: `Steps`, that of one attempt.
Neighbours: `attempt.py` is Treadle's own way, `node_hooks.py` calls the hooks around each step.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from treadle.errors import NodeTimeoutError
from treadle.execution.attempt.verdict import describe_timeout
from treadle.execution.processes.forked import end_forked_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pluggy

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline import Node


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a process has of a run: enough to attempt any of its nodes by index."""

    run_id: str
    node: Callable[[int], Node]
    inputs: Sequence[Sequence[int]]
    outputs: Sequence[Sequence[int]]
    dataset_names: Sequence[str]
    in_memory: Sequence[bool]
    copy_mode: Callable[[int], CopyMode | None]
    catalog: Catalog
    hooks: pluggy.PluginManager | None
    interruptible: bool = False
    """True where a KeyboardInterrupt is the user's Ctrl-C, and not something that the node's own code raised."""
    is_async: bool = False
    """True where a node's inputs are loaded, and its outputs saved, at the same time, by threads."""
    conduct: AttemptStrategy | None = None
    """How another framework takes a node through its steps, hooks included; None is Treadle's own way."""
    timeouts: Mapping[int, float] = field(default_factory=dict)
    """Seconds that an attempt may take, by index of the nodes that have such a limit."""
    state: SharedState | None = None
    """What datasets learn by saving in other processes; None where no dataset of the run can."""
    is_result: Sequence[bool] = ()
    """By dataset index, whether it is a result of the run; empty where another framework keeps its own results."""
    seeds: Seeds | None = None
    """What random numbers are seeded with; None where no node is seeded."""


class Times(NamedTuple):
    """When an attempt began and ended (seconds since the epoch), and how long each part took (seconds)."""

    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float


class Steps:
    """What an attempt is doing, for its failure record, and when it began (seconds since the epoch)."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.phase = "setup"
        self.dataset: str | None = None
        self.hook: str | None = None
        """The hook that was called last: where the phase is `hook`, the one that is being called."""
        self.plugin: str | None = None
        """The plugin that raised out of it, where the one who called knows."""
        self.inputs: dict[str, Any] = {}
        self.node: str | None = None
        """Name of the node, once it is known."""
        self._process = os.getpid()
        self._limit: tuple[str, float, float] | None = None

    def end_if_forked(self, exc: BaseException | None = None) -> None:
        """End this process where it is a child that the node forked: the attempt is its parent's.

        Args:
            exc: what the node's function raised; None where it returned.
        """
        if os.getpid() != self._process:
            end_forked_child(self.node, exc)

    def limit_time(self, node: str, seconds: float) -> None:
        """The attempt may take so many seconds from now on."""
        self._limit = (node, seconds, time.perf_counter())

    def check_time(self) -> None:
        """Fail the attempt where it has taken too long: called when the node's function has returned, before anything is saved.

        A child process that the node forked is ended here.

        Raises:
            NodeTimeoutError: it has.
        """
        self.end_if_forked()
        if self._limit is None:
            return
        node, limit, begun = self._limit
        elapsed = time.perf_counter() - begun
        if elapsed > limit:
            self.phase, self.dataset = "timeout", None
            raise NodeTimeoutError(describe_timeout(node, limit, elapsed), node=node, timeout=limit, elapsed=elapsed)


class AttemptStrategy(Protocol):
    """The steps of one attempt, as another framework takes them."""

    def __call__(  # noqa: D102 - the class says it
        self, node: Node, index: int, steps: Steps, take: Callable[[int], Any], give: Callable[[int, Any], None], /
    ) -> Times: ...


class RunOpener(Protocol):
    """Makes, in a worker, what it needs of another framework's run; it crosses pickled."""

    def open(self) -> AttemptStrategy:
        """Return how the run's nodes are taken through their steps in this process."""
