"""A test bench for executors: it does the work of the scheduler and the loop for an executor under test, one call at a time.

Runs in the parent. `contract.py` tests executors with it. State: for the current run, the indices of its nodes and datasets, and
where each value is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.execution.executors.events import Report, WorkerUp, separate
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.protocol.messages import MAIN, Failed, Finished, JobsReturned, Transferred
from treadle.execution.protocol.placement import SHARED
from treadle.execution.scheduling.instructions import RunJob
from treadle.io.catalog import Catalog
from treadle.pipeline import Pipeline
from treadle.planning import compile_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.executors.executor import Executor
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.placement import Placement
    from treadle.pipeline import Node
    from treadle.planning import Plan
    from treadle.planning.plan import PlannedNode

_T = TypeVar("_T")


class Bench:
    """An executor under test, with methods that replace the scheduler and the loop.

    Args:
        executor: the executor.
        max_workers: the number of workers that it was made with.

    Attributes:
        pids: process id of each worker that is ready.
        seen: the events that the last `until` or `run` received.
    """

    def __init__(self, executor: Executor, max_workers: int) -> None:
        self.executor = executor
        self.capabilities = executor.capabilities
        self.workers: tuple[int, ...] = tuple(range(1, max_workers + 1)) if self.capabilities.concurrent else (MAIN,)
        """Numbers of the workers that run ordinary jobs."""
        self.pids: dict[int, int] = {}
        self.seen: list[PoolEvent] = []
        self.numbers: dict[str, int] = {}
        """Indices of the datasets, by name."""
        self.nodes: dict[str, int] = {}
        """Indices of the nodes, by name."""
        self._plan: Plan | None = None
        self._placements: dict[int, Placement] = {}
        self._copies: dict[int, set[int]] = {}
        self._unread: list[PoolEvent] = []
        self._submitted: dict[tuple[int, ...], Callable[[], None]] = {}  # by the nodes of a job: submits it again

    @property
    def plan(self) -> Plan:
        """The plan of the last run."""
        if self._plan is None:
            msg = "no run has started on this bench"
            raise RuntimeError(msg)
        return self._plan

    # --- a run -----------------------------------------------------------------------------------------------------------

    def begin(self, *nodes: Node, **data: Any) -> frozenset[int]:
        """Start a run of these nodes and wait until every worker is ready.

        Args:
            nodes: the nodes.
            data: the contents of the catalog.

        Returns:
            The nodes that must run in the main process, as the executor returned them.
        """
        main_only = self.begin_only(*nodes, **data)
        while not set(self.workers) <= set(self.pids):
            for event in self.executor.wait():
                assert isinstance(event, WorkerUp), event
                self.pids[event.worker] = event.pid
        return main_only

    def begin_only(self, *nodes: Node, **data: Any) -> frozenset[int]:
        """Start a run of these nodes without waiting for workers."""
        self._plan = compile_plan(Pipeline(nodes), Catalog(data))
        self.numbers = {dataset.name: number for number, dataset in enumerate(self.plan.datasets)}
        self.nodes = {planned.name: number for number, planned in enumerate(self.plan.nodes)}
        return self.begin_again(**data)

    def begin_again(self, **data: Any) -> frozenset[int]:
        """Start another run of the last run's nodes without waiting for workers."""
        self._placements, self._copies, self._unread, self.pids = {}, {}, [], {}
        self._submitted = {}
        return self.executor.begin(RunBundle("run", self.plan, Catalog(data), None))

    def end(self) -> None:
        """End the run if one was started."""
        if self._plan is not None:
            self.executor.end()

    # --- jobs ------------------------------------------------------------------------------------------------------------

    def submit(
        self,
        worker: int,
        *names: str,
        last: Sequence[tuple[str, str]] = (),
        local: Sequence[str] = (),
        independent: bool = False,
        returnable: bool = False,
        flush: bool = False,
    ) -> None:
        """Submit a job. Inputs that are in another worker are transferred first.

        Args:
            worker: the worker to run it.
            names: the nodes, in order.
            last: (dataset, node) if the node is the last consumer of the dataset.
            local: datasets that are made within the job and that no other job consumes.
            independent: whether the nodes need nothing of each other.
            returnable: whether the nodes behind one that takes long are returned although they may need it.
            flush: make the pool send the job now; otherwise the next `wait` sends it.
        """
        made = {number for each in names for number in self.planned(each).outputs}
        inputs = dict.fromkeys(number for each in names for number in self.planned(each).inputs)
        passed = [self.plan.datasets[number].name for number in inputs if number in made and self.plan.datasets[number].in_memory]
        assert set(passed) <= set(local), f"datasets that are made and used within a job are local: {passed}"
        needed = [number for number in inputs if number not in made and self.plan.datasets[number].in_memory]
        job = RunJob(
            worker,
            tuple(self.nodes[name] for name in names),
            tuple(number for number in needed if self._must_send(number, worker)),
            tuple((self.numbers[dataset], self.nodes[name]) for dataset, name in last),
            tuple(self.numbers[dataset] for dataset in local),
            independent,
            returnable,
        )
        kind = {"independent": independent, "returnable": returnable}
        again = partial(self.submit, worker, *names, last=last, local=local, **kind, flush=flush)
        self._submitted[job.nodes] = again
        self.executor.submit(job)
        if flush:
            self.flush()

    def flush(self) -> None:
        """Make the pool send the jobs that were submitted."""
        self.executor.pool.flush()

    def run(self, worker: int, *names: str, **job: Any) -> Any:
        """Run a job to its end. If the worker returns the job, submit it again.

        Returns:
            The Finished or Failed of its node, or a list of them if the job has several nodes.
        """
        self.submit(worker, *names, **job)
        self.seen = []
        reports: list[Any] = []
        while len(reports) < len(names):
            for event in self.wait():
                self.seen.append(event)
                fact = self.fact(event)
                if isinstance(fact, JobsReturned):  # the worker is running a long node
                    self.submit(worker, *names, **job)
                elif isinstance(fact, (Finished, Failed)):
                    reports.append(fact)
        return reports[0] if len(names) == 1 else reports

    def planned(self, name: str) -> PlannedNode:
        """Return a node of the plan by its name."""
        return self.plan.nodes[self.nodes[name]]

    # --- events ----------------------------------------------------------------------------------------------------------

    @staticmethod
    def fact(event: PoolEvent) -> Any:
        """Return the fact of a Report; any other event itself."""
        return event.fact if isinstance(event, Report) else event

    def wait(self) -> list[PoolEvent]:
        """Return the next events, and record the placements of the values that they report."""
        if self._unread:
            events, self._unread = self._unread, []
            return events
        events = separate(self.executor.wait())
        for event in events:
            fact = self.fact(event)
            if isinstance(fact, Finished):
                self._placements.update((dataset, handle.placement) for dataset, handle in fact.outputs)
            elif isinstance(fact, Transferred):
                self._placements[fact.dataset] = fact.handle.placement
        return events

    def all_until(self, kind: type[_T], count: int) -> list[_T]:
        """Wait for a number of facts or events of a type, and return them; `seen` contains all events that arrived.

        If a worker returns a job in the meantime, because it was still running a node of an earlier run, the job is submitted
        again.
        """
        self.seen = []
        while sum(isinstance(self.fact(event), kind) for event in self.seen) < count:
            for event in self.wait():
                fact = self.fact(event)
                if isinstance(fact, JobsReturned) and not issubclass(kind, JobsReturned) and fact.nodes in self._submitted:
                    self._submitted[fact.nodes]()
                else:
                    self.seen.append(event)
        return [self.fact(event) for event in self.seen if isinstance(self.fact(event), kind)]

    def until(self, kind: type[_T]) -> _T:
        """Wait for a fact or an event of a type, and return it; `seen` contains all events that arrived."""
        return self.all_until(kind, 1)[0]

    # --- values ----------------------------------------------------------------------------------------------------------

    def put(self, name: str, value: Any) -> Placement:
        """Put a value into the store, and return its placement."""
        placement = self._placements[self.numbers[name]] = self.executor.put(self.numbers[name], value)
        return placement

    def value(self, name: str) -> Any:
        """Remove a value from the store and return it."""
        value, handle = self.detach(name)
        if handle is None:
            assert value is not None, f"the store does not have '{name}'"
            return value
        value = handle.load()
        handle.close()
        return value

    def detach(self, name: str) -> tuple[Any, Handle | None]:
        """Remove a value from the store; return the value or its handle, None for the other, or None for both."""
        values: dict[int, Any] = {}
        handles: dict[int, Handle] = {}
        self.executor.detach([self.numbers[name]], values, handles)
        return values.get(self.numbers[name]), handles.get(self.numbers[name])

    def release(self, name: str) -> None:
        """Release a value in the store and in the workers that have it."""
        number = self.numbers[name]
        holder = self._placements.pop(number, SHARED).worker
        holders = self._copies.pop(number, set()) | ({holder} if holder is not None else set())
        self.executor.release(number, tuple(sorted(holders)))

    def transfer(self, dataset: int, worker: int) -> Transferred:
        """Transfer a value from a worker to the store, and return the worker's Transferred."""
        self.executor.transfer(dataset, worker)
        seen: list[PoolEvent] = []
        while True:
            facts = [self.fact(event) for event in seen]
            answers = [fact for fact in facts if isinstance(fact, Transferred) and fact.dataset == dataset]
            if answers:
                self._unread = seen + self._unread
                return answers[0]
            seen += self.wait()

    def _must_send(self, dataset: int, worker: int) -> bool:
        """Return whether a value must be sent with a job; transfer it to the store first if it is in another worker."""
        placement = self._placements.get(dataset, SHARED)
        if placement.worker not in {None, worker} and placement.movable and not placement.direct:
            self.transfer(dataset, placement.worker or MAIN)
            placement = self._placements[dataset]
        if placement.worker == worker or (placement.worker is not None and not placement.direct):
            return False
        copies = self._copies.setdefault(dataset, set())
        if worker in copies:
            return False
        if (placement.retained or placement.direct) and worker != MAIN:
            copies.add(worker)
        return True
