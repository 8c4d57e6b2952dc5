"""What a recorded run would have taken on other numbers of workers: the recorded times, the scheduler, a virtual clock.

No state. Neighbours: `treadle.execution.scheduling.simulator` runs it; `treadle sessions what-if` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import MissingConfigError, SessionError
from treadle.events import Outcome
from treadle.execution.scheduling.simulator import bounds, simulate
from treadle.io import Catalog
from treadle.pipeline.policy import read_resources
from treadle.planning import compile_plan
from treadle.planning.policies import NO_RULES
from treadle.session.creation import make_config_loader, make_facts
from treadle.session.policies import configured_policies
from treadle.session.request import RunRequest
from treadle.session.selection import select_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.observe.store import SessionRecord
    from treadle.pipeline import Pipeline
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules
    from treadle.project import ConfiguredProject


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a run took, and would have taken.

    Attributes:
        recorded: seconds from the first node's start to the last node's end, as they were.
        recorded_workers: workers it had, None where that is not known.
        makespans: (workers, seconds, the least that so many workers can take) for each number asked about.
        critical_path: seconds of the longest path, which no number of workers can beat.
        critical_nodes: the nodes on it, each with its seconds, in order.
        work: seconds of all nodes together.
    """

    recorded: float
    recorded_workers: int | None
    makespans: tuple[tuple[int, float, float], ...]
    critical_path: float
    critical_nodes: tuple[tuple[str, float], ...]
    work: float


def what_if(
    record: SessionRecord,
    pipelines: Mapping[str, Pipeline],
    workers: Sequence[int],
    policies: Callable[[Pipeline], PolicyRules] = lambda _pipeline: NO_RULES,
) -> WhatIf:
    """Simulate the last run of a session on other numbers of workers.

    Workers take no time to start, and values none to travel, so that what comes out is what the graph allows, and the resources
    that were limited.

    Args:
        record: the session; its last run must have succeeded, so that every node's time is known.
        pipelines: the project's pipelines, which say who waits for whom.
        workers: the numbers of workers.
        policies: says what configuration has to say of how a pipeline's nodes are run.

    Returns:
        The makespans, and what bounds them.

    Raises:
        SessionError: the session has no run that succeeded last, or the project's nodes are not those of the run any more.
    """
    if not record.runs or record.runs[-1].outcome is not Outcome.SUCCEEDED:
        msg = (
            f"The last run of session {record.session_id} did not succeed, so the times of its nodes are not known. Name another."
        )
        raise SessionError(msg, session_id=record.session_id)
    run = record.runs[-1]
    took = {
        node.node: (node.started, node.finished)
        for node in run.nodes
        if node.outcome is Outcome.SUCCEEDED and node.started is not None and node.finished is not None
    }
    known = {each.name for each in fields(RunRequest)}
    request = RunRequest(**{name: value for name, value in run.params.items() if name in known})
    pipeline = select_pipeline(pipelines, request)
    changed = sorted({node.name for node in pipeline.nodes} ^ set(took))
    if changed:
        msg = (
            f"The project is not what session {record.session_id} ran any more: {len(changed)} nodes are only in one of the two "
            f"({', '.join(changed[:3])}{', …' if len(changed) > 3 else ''}). Check out the session's commit, or name another."
        )
        raise SessionError(msg, session_id=record.session_id)
    plan = compile_plan(pipeline, Catalog(dict.fromkeys(pipeline.inputs(), 0)), policies(pipeline))
    limits = _limits(plan, run.params.get("runner_params", {}))
    spans = [took[node.name] for node in plan.nodes]
    seconds = [finished - started for started, finished in spans]
    limit = bounds(plan, seconds)
    return WhatIf(
        recorded=max((end for _, end in spans), default=0.0) - min((start for start, _ in spans), default=0.0),
        recorded_workers=run.worker_count,
        makespans=tuple((count, simulate(plan, seconds, count, limits=limits).makespan, limit.lower(count)) for count in workers),
        critical_path=limit.critical_path,
        critical_nodes=tuple((plan.nodes[index].name, seconds[index]) for index in limit.critical_nodes),
        work=limit.work,
    )


def policies_of(record: SessionRecord, project: ConfiguredProject, pipeline: Pipeline) -> PolicyRules:
    """Read what the configuration of a recorded session says today of how nodes are run; nothing, where it is gone.

    Args:
        record: the session, whose environment is read.
        project: the project.
        pipeline: the nodes.

    Raises:
        ConfigError: the configuration is wrong.
    """
    conf_source = record.conf_source if Path(record.conf_source).exists() else None  # it may be a record of another machine
    facts = make_facts(project, project_path=None, env=record.env, extra_params={}, conf_source=conf_source, command=None)
    try:
        return configured_policies(make_config_loader(project.settings, facts), project.pipelines, pipeline)
    except MissingConfigError:  # the environment is not here any more
        return NO_RULES


def _limits(plan: Plan, runner_params: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits that are known, none of them below what a node needs, which could never have run."""
    limits = {**plan.resources, **dict(read_resources(runner_params.get("resources") or {}))}
    for policy in plan.policies:
        for name, amount in policy.resources or () if policy is not None else ():
            if name in limits:
                limits[name] = max(limits[name], amount)
    return limits
