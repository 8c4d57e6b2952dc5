"""Say beforehand which nodes of a run are up to date, which will run, and why; and change that.

State: none besides what was decided. Neighbours: `reusing.py` decides, as it does for a run; `treadle.cli` prints the answer.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from treadle.errors import SessionError, UnknownNameError
from treadle.planning import compile_plan
from treadle.planning.reuse.decisions import Expected
from treadle.session.policies import all_nodes
from treadle.session.prepared import prepare_run
from treadle.session.stored_values import with_stored_values
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from pluggy import PluginManager

    from treadle.pipeline import Pipeline
    from treadle.planning import Plan
    from treadle.planning.reuse.facts import LastSuccess
    from treadle.session.context import Context
    from treadle.session.request import RunRequest
    from treadle.session.reusing import Reuse


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a run that skips up-to-date nodes would do with a node.

    Attributes:
        node: its name.
        expected: whether it is up to date, will run, or depends on what the nodes before it save.
        causes: why it runs, one sentence each; empty if it is up to date.
        parts: what its outputs depend on, by name.
        last_session: the session of its last success; None if there is none.
        seconds: how long it usually takes; None if it is not known.
    """

    node: str
    expected: Expected
    causes: tuple[str, ...]
    parts: Mapping[str, str]
    last_session: str | None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-compatible values, by name."""
        return {
            "node": self.node,
            "state": self.expected.name.lower(),
            "causes": list(self.causes),
            "parts": dict(self.parts),
            "last_session": self.last_session,
            "seconds": self.seconds,
        }


class RunStatus(Sequence[NodeStatus]):
    """The status of each node of a run, in the order in which the nodes would run.

    Args:
        nodes: the status of each node.
        descendants: returns nodes and all nodes that depend on them, by name.
        plan: compiles the run.
        successes: returns what to record if nodes are taken as up to date.
        save: records successes.
        forget: forgets the successes of nodes, and returns how many had one.
    """

    def __init__(
        self,
        nodes: Sequence[NodeStatus],
        *,
        descendants: Callable[[Sequence[str]], Iterable[str]],
        plan: Callable[[], Plan],
        successes: Callable[[Iterable[str]], Mapping[str, LastSuccess]],
        save: Callable[[Mapping[str, LastSuccess]], None],
        forget: Callable[[Iterable[str]], int],
    ) -> None:
        self._nodes = tuple(nodes)
        self._descendants = descendants
        self._plan = plan
        self._successes = successes
        self._save = save
        self._forget = forget

    def accept(self, nodes: Iterable[str] = ()) -> tuple[str, ...]:
        """Take nodes as up to date as they are now.

        Args:
            nodes: their names; empty for all.

        Returns:
            The names of the accepted nodes.

        Raises:
            UnknownNameError: the run has no such node.
            SessionError: an output of one of the nodes is missing.
        """
        names = self._checked(nodes) or tuple(each.node for each in self._nodes)
        self._save(self._successes(names))
        return names

    def invalidate(self, nodes: Iterable[str], *, downstream: bool = False) -> tuple[str, ...]:
        """Let nodes run the next time, whatever has changed.

        Args:
            nodes: their names.
            downstream: whether the nodes that depend on them run as well.

        Returns:
            The names of the nodes that run now.

        Raises:
            UnknownNameError: the run has no such node.
        """
        names = self._checked(nodes)
        if downstream:
            names = tuple(self._descendants(names))
        self._forget(names)
        return names

    def expected_seconds(self, workers: int = 1) -> float | None:
        """Estimate how long the run takes, from the durations that are recorded: the makespan of its simulated schedule.

        Args:
            workers: number of workers.

        Returns:
            Seconds, as if every node ran that is not certainly up to date, and every node whose value in memory one of these
            needs. None if no duration of a node of the run is known.
        """
        from treadle.execution.scheduling.simulator import simulate
        from treadle.planning.durations import expected_seconds

        left = {each.node for each in self._nodes if each.expected is not Expected.UP_TO_DATE}
        if not left:
            return 0.0
        plan = self._plan()
        seconds = expected_seconds(plan, {each.node: each.seconds for each in self._nodes if each.seconds is not None})
        if seconds is None:
            return None
        runs = _with_makers_of_values(plan, left)
        return simulate(plan, [seconds[index] if index in runs else 0.0 for index in range(len(seconds))], workers).makespan

    @overload
    def __getitem__(self, index: int) -> NodeStatus: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NodeStatus]: ...
    def __getitem__(self, index: int | slice) -> NodeStatus | Sequence[NodeStatus]:
        return self._nodes[index]

    def __iter__(self) -> Iterator[NodeStatus]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def of(self, node: str) -> NodeStatus:
        """Return the status of one node.

        Raises:
            UnknownNameError: the run has no such node.
        """
        self._checked([node])
        return next(each for each in self._nodes if each.node == node)

    def _checked(self, nodes: Iterable[str]) -> tuple[str, ...]:
        known = [each.node for each in self._nodes]
        names = tuple(nodes)
        for name in names:
            if name not in known:
                close = close_names(name, known)
                hint = did_you_mean(close, "`treadle status` shows the nodes.")
                msg = f"There is no node {name!r} in the selected pipelines.{hint}"
                raise UnknownNameError(msg, name=name, close=close)
        return names


def _with_makers_of_values(plan: Plan, names: Collection[str]) -> set[int]:
    """Return the indices of nodes, and of the nodes that run again because one of them needs their value in memory."""
    found = {index for index, node in enumerate(plan.nodes) if node.name in names}
    for index in reversed(range(len(plan.nodes))):  # each node after those that use its outputs
        outputs = (plan.datasets[dataset] for dataset in plan.nodes[index].outputs)
        if any(dataset.in_memory and not found.isdisjoint(dataset.consumers) for dataset in outputs):
            found.add(index)
    return found


def run_status(
    request: RunRequest,
    reuse: Reuse,
    *,
    pipelines: Mapping[str, Pipeline],
    load_context: Callable[[], Context],
    hooks: PluginManager,
    durations: Callable[[], Mapping[str, float]],
    store: Any,
) -> RunStatus:
    """Decide about the nodes of a run without running it.

    Args:
        request: the arguments of the run.
        reuse: decides which nodes are up to date.
        pipelines: the registered pipelines.
        load_context: returns the context.
        hooks: the registered hooks.
        durations: returns node durations of earlier sessions, in seconds.
        store: the store of the session.

    Returns:
        The status of each node.

    Raises:
        TreadleError: a name, the configuration or a dataset is invalid.
    """
    run = prepare_run(request, pipelines, load_context, {})
    context = run.context
    run = run._replace(catalog=with_stored_values(run.catalog, run.pipeline, run.policies, reuse, context))
    reuse.decide(
        run.pipeline,
        run.catalog,
        hooks=hooks,
        rules=run.policies,
        seed=request.runner_params.get("seed"),
        other_nodes=partial(all_nodes, pipelines),
    )
    pipeline = run.pipeline
    return RunStatus(
        node_statuses(reuse, durations()),
        descendants=lambda names: [node.name for node in pipeline.from_nodes(*names).nodes],
        plan=lambda: compile_plan(pipeline, run.catalog, run.policies),
        successes=lambda names: reuse.accepted(names, context.session_id, time.time()),
        save=lambda successes: store.save_successes(context.package_name, reuse.env, successes),
        forget=lambda names: store.invalidate_successes(context.package_name, reuse.env, names),
    )


def node_statuses(reuse: Reuse, seconds: Mapping[str, float]) -> list[NodeStatus]:
    """Return the status of each node of a run about which was decided.

    Args:
        reuse: has decided.
        seconds: how long nodes took in earlier runs, by name.

    Raises:
        SessionError: it is not known what the nodes depend on.
    """
    decisions, last = reuse.decisions, reuse.last
    if decisions is None:
        msg = "The status of the nodes is not known, because their code or configuration could not be followed; see the log."
        raise SessionError(msg)
    return [
        NodeStatus(
            node=name,
            expected=expected,
            causes=decisions.causes.get(name, ()),
            parts=decisions.parts(name),
            last_session=last[name].session_id if name in last else None,
            seconds=seconds.get(name),
        )
        for name, expected in decisions.expected.items()
    ]
