"""Records of an attempt: the run as its process knows it, the step that the attempt is at, and how long each step took.

Another framework may replace the steps by an `AttemptStrategy` of its own. State: `Steps`, one per attempt. Runs wherever nodes
run. Neighbours: `attempt.py` has Treadle's own steps, `hooks.py` calls the hooks around each step.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from treadle.errors import NodeTimeoutError
from treadle.execution.attempt.verdict import describe_timeout
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pluggy

    from treadle.events import ContentRecord
    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.execution.attempt.validators import MemoryValidators
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline import Node


_SHORTEST_FORK_SECONDS = 2e-5
"""A node that took less has not forked: to copy the page tables of a Python process takes several times as long. So the id of the
process is not compared after such a node: that system call would be a good part of what a tiny node costs."""


class RunContext(NamedTuple):
    """A run as one process knows it: enough to attempt any of its nodes, given the node's plan index."""

    run_id: str
    node: Callable[[int], Node]
    inputs: Sequence[Sequence[int]]
    outputs: Sequence[Sequence[int]]
    dataset_names: Sequence[str]
    in_memory: Sequence[bool]
    copy_mode: Callable[[int], CopyMode | None]
    open_catalog: Callable[[], Catalog]
    """Returns the catalog of the process."""
    hooks: pluggy.PluginManager | None
    process: int
    """Id of the process that opened the run, and runs its nodes."""
    timeouts: Mapping[int, float]
    """Seconds that an attempt may take, by plan index, for the nodes that have a timeout."""
    interruptible: bool = False
    """True if Ctrl-C interrupts the attempt; False if only the node's own code can have raised a KeyboardInterrupt."""
    is_async: bool = False
    """True if the inputs of a node are loaded concurrently by threads, and its outputs saved concurrently."""
    strategy: AttemptStrategy | None = None
    """Loads, runs, saves and calls hooks for another framework; None means Treadle's own steps."""
    state: SharedState | None = None
    """Attributes that datasets set when they were saved in other processes; None if no dataset of the run sets any."""
    is_result: Sequence[bool] = ()
    """By dataset index, whether the dataset is a result of the run; empty if another framework keeps the results."""
    seeds: Seeds | None = None
    """The seeds of the nodes' random numbers; None if no node is seeded."""
    records_outputs: bool = False
    """Whether the content of each persistent output is recorded after it was saved."""
    in_worker: bool = False
    """Whether the nodes run in a worker process, which can be terminated at a timeout."""
    validators: MemoryValidators | None = None
    """Check the values of datasets in memory; None if none of these has a validator."""

    @property
    def catalog(self) -> Catalog:
        """The catalog of the process."""
        return self.open_catalog()


class Times(NamedTuple):
    """When an attempt started and finished (seconds since the epoch), and how long each part took (seconds)."""

    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float
    contents: tuple[ContentRecord, ...] = ()
    """The content of each persistent output as the attempt saved it, if the run records outputs."""


class Steps:
    """The step that an attempt is at, for its failure record.

    Args:
        started: when the attempt started, in seconds since the epoch.
        process: id of the process that runs it.
    """

    # Defaults of the class, because setting ten attributes would be a part of what a tiny node takes.
    loaded: float | None = None
    """When the inputs were loaded, by the performance counter; None before."""
    ran: float | None = None
    """When the function had returned, likewise."""
    phase: str = "setup"
    dataset: str | None = None
    hook: str | None = None
    """The hook that was called last; while the phase is `hook`, the hook that is being called."""
    plugin: str | None = None
    """The plugin whose hook raised, if the caller of the hook knows it."""
    node: str | None = None
    """Name of the node, once it is known."""
    contents: dict[str, ContentRecord] | None = None
    """The content of each persistent output that was saved, by name; None if the run does not record outputs."""
    _limit: tuple[str, float, float, bool] | None = None

    def __init__(self, started: float, process: int) -> None:
        self.started = started
        self.process = process
        self.inputs: dict[str, Any] = {}

    def seconds(self, started: float, now: float) -> tuple[float, float, float] | None:
        """Return how long the attempt has loaded, run and saved so far; None if it has not begun to load.

        Args:
            started: when it started, by the performance counter.
            now: the current time, likewise.
        """
        if self.phase == "setup":
            return None
        loaded = now if self.loaded is None else self.loaded
        ran = now if self.ran is None else self.ran
        return loaded - started, ran - loaded, now - ran

    def end_if_forked(self, exc: BaseException | None = None) -> None:
        """End this process if the node's function forked it: only the parent finishes the attempt.

        Args:
            exc: the exception that the node's function raised in the child; None if the function returned.
        """
        if os.getpid() != self.process:
            from treadle.execution.processes.forked import end_forked_child

            end_forked_child(self.node, exc)

    def save_output(self, name: str, dataset: Callable[[], object], save: Callable[[], None]) -> None:
        """Save a persistent output, and record its content if the run records outputs.

        Args:
            name: the dataset.
            dataset: returns the dataset object.
            save: saves the output.
        """
        if self.contents is None:
            save()
            return
        from treadle.io.contents import written_files_noted

        with written_files_noted():
            save()
            self.record_contents([name], lambda _name: dataset())

    def saving_chunks(self) -> AbstractContextManager[None]:
        """Return a context in which chunks are saved; at its end, `record_contents` is called if the run records outputs."""
        if self.contents is None:
            return nullcontext()
        from treadle.io.contents import written_files_noted

        return written_files_noted()

    def record_contents(self, names: Iterable[str], dataset: Callable[[str], object]) -> None:
        """Record the contents of persistent outputs that were just saved, if the run records outputs.

        Args:
            names: the datasets.
            dataset: returns a dataset object.
        """
        if self.contents is not None:
            from treadle.io.contents import content_of

            for name in names:
                content = content_of(dataset(name), name)
                if content is not None:
                    self.contents[name] = content

    def limit_time(self, node: str, seconds: float, *, in_worker: bool) -> None:
        """Start the attempt's timeout.

        Args:
            node: name of the node, for the error.
            seconds: how long the attempt may take from now on.
            in_worker: whether it runs in a worker process, for the error.
        """
        self._limit = (node, seconds, time.perf_counter(), in_worker)

    def check_time(self) -> None:
        """Raise if the attempt exceeded its timeout; called after the node's function has returned, before outputs are saved.

        A child process that the node's function forked ends here.

        Raises:
            NodeTimeoutError: the attempt took longer than its timeout.
        """
        returned = time.perf_counter() if self.ran is None else self.ran
        if self.loaded is None or returned - self.loaded > _SHORTEST_FORK_SECONDS:
            self.end_if_forked()
        if self._limit is None:
            return
        node, limit, started, in_worker = self._limit
        elapsed = time.perf_counter() - started
        if elapsed > limit:
            self.phase, self.dataset = "timeout", None
            message = describe_timeout(node, limit, elapsed, in_worker=in_worker)
            raise NodeTimeoutError(message, node=node, timeout=limit, elapsed=elapsed)


class AttemptStrategy(Protocol):
    """Carries out one attempt for another framework: load the inputs, call the node, save the outputs."""

    def __call__(  # noqa: D102 - documented by the class
        self, node: Node, index: int, steps: Steps, load_input: Callable[[int], Any], store_output: Callable[[int, Any], None], /
    ) -> Times: ...

    def add_dataset(self, name: str, pickled: bytes, /) -> None:
        """Add a dataset that was sent to this worker after the run had begun."""


class RunOpener(Protocol):
    """Creates a worker's `AttemptStrategy` for a run of another framework; pickled by the parent."""

    def open(self, folder: str | None = None, /) -> AttemptStrategy:
        """Return the strategy for the run's nodes in this process.

        Args:
            folder: this process's directory of the run, if it does not see the parent's; None for the parent's.
        """
