"""Estimate how long a recorded run would take with other numbers of workers, by simulating the scheduler on recorded times.

State: none. Neighbours: `treadle.observe.report.what_if` simulates; `treadle sessions what-if` prints the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import MissingConfigError, SessionError
from treadle.events import Outcome
from treadle.io import Catalog
from treadle.observe.report.what_if import estimate, estimate_run, node_spans
from treadle.pipeline.quantities import read_resources
from treadle.planning import compile_plan
from treadle.planning.policies import NO_RULES
from treadle.session.creation import make_config_loader, make_facts
from treadle.session.policies import configured_policies
from treadle.session.request import RunRequest
from treadle.session.selection import select_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.observe.report.what_if import Estimates
    from treadle.observe.store import SessionRecord
    from treadle.pipeline import Pipeline
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules
    from treadle.project import ConfiguredProject


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The duration of a recorded run, and its simulated durations.

    Attributes:
        recorded: seconds from the first node's start to the last node's end in the recorded run.
        recorded_workers: number of workers of the recorded run; None if unknown.
        makespans: (workers, seconds, lower bound in seconds) for each requested number of workers.
        critical_path: seconds of the longest path, the lower bound for any number of workers.
        critical_nodes: (node, seconds) along the longest path, in order.
        work: total seconds of all nodes.
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
    """Simulate the last run of a session with other numbers of workers.

    Args:
        record: the session; its last run must have succeeded, so that the time of every node is known. Nodes that were up to date
            take no time.
        pipelines: the project's pipelines, which define the dependencies if the record has no graph.
        workers: the numbers of workers to simulate.
        policies: returns the configured policies of a pipeline's nodes.

    Returns:
        The makespans and their bounds.

    Raises:
        SessionError: the last run did not succeed, all its nodes were up to date, or the project's nodes have changed since.
    """
    if not record.runs or record.runs[-1].outcome is not Outcome.SUCCEEDED:
        msg = (
            f"The last run of session {record.session_id} did not succeed, so the times of its nodes are not all known. Choose "
            "another session."
        )
        raise SessionError(msg, session_id=record.session_id)
    run = record.runs[-1]
    if run.nodes and not node_spans(run):
        msg = (
            f"All nodes of the last run of session {record.session_id} were up to date, so there are no times to simulate. "
            "Choose another session."
        )
        raise SessionError(msg, session_id=record.session_id)
    estimates = estimate_run(run, workers) or _estimate_with_project(record, pipelines, workers, policies)
    return WhatIf(
        recorded=estimates.recorded,
        recorded_workers=run.worker_count,
        makespans=estimates.makespans,
        critical_path=estimates.critical_path,
        critical_nodes=estimates.critical_nodes,
        work=estimates.work,
    )


def _estimate_with_project(
    record: SessionRecord,
    pipelines: Mapping[str, Pipeline],
    workers: Sequence[int],
    policies: Callable[[Pipeline], PolicyRules],
) -> Estimates:
    """Simulate a run whose record has no graph with that of the project as it is now."""
    run = record.runs[-1]
    took = node_spans(run)
    known = set(RunRequest._fields)
    request = RunRequest(**{name: value for name, value in run.params.items() if name in known})
    pipeline = select_pipeline(pipelines, request)
    changed = sorted({node.name for node in pipeline.nodes} ^ set(took))
    if changed:
        msg = (
            f"The project has changed since session {record.session_id}: {len(changed)} nodes were added or removed "
            f"({', '.join(changed[:3])}{', …' if len(changed) > 3 else ''}). Check out the session's commit, or choose another "
            "session."
        )
        raise SessionError(msg, session_id=record.session_id)
    plan = compile_plan(pipeline, Catalog(dict.fromkeys(pipeline.inputs(), 0)), policies(pipeline))
    limits = _resource_limits(plan, run.params.get("runner_params", {}))
    return estimate(plan, [took[node.name] for node in plan.nodes], limits, workers)


def policies_of(record: SessionRecord, project: ConfiguredProject, pipeline: Pipeline) -> PolicyRules:
    """Read the current policies in the configuration of a recorded session; none if that configuration no longer exists.

    Args:
        record: the session, whose environment is read.
        project: the project.
        pipeline: the nodes.

    Raises:
        ConfigError: the configuration is invalid.
    """
    conf_source = record.conf_source if Path(record.conf_source).exists() else None  # the session may have run on another machine
    facts = make_facts(project, project_path=None, env=record.env, extra_params={}, conf_source=conf_source, command=None)
    try:
        return configured_policies(make_config_loader(project.settings, facts), project.pipelines, pipeline)
    except MissingConfigError:  # the environment no longer exists
        return NO_RULES


def _resource_limits(plan: Plan, runner_params: Mapping[str, Any]) -> dict[str, int]:
    """Return the resource limits of the run, each at least as large as the largest request of a node."""
    limits = {**plan.resources, **dict(read_resources(runner_params.get("resources") or {}))}
    for policy in plan.policies:
        for name, amount in policy.resources or () if policy is not None else ():
            if name in limits:
                limits[name] = max(limits[name], amount)
    return limits
