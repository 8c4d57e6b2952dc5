"""Write the command that resumes a failed run, and attach it to the run's error.

The command line is built for a POSIX shell from the request, the facts of its session and the nodes to start from. Secrets in
its params are masked; credentials are not params, they come from the configuration. State: none. Neighbours: `session.py`
raises the error, `treadle.config.writing` formats the params.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from treadle.config.writing import format_params
from treadle.errors import NodeError, RunError, RunnerError
from treadle.execution.processes.safe_points import INTERRUPTS
from treadle.parameter_names import is_parameter
from treadle.secrets import MASK
from treadle.session.creation import program_of
from treadle.session.masking import mask_params
from treadle.session.rerun import masked_names
from treadle.session.running import add_note

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.project import ConfiguredProject
    from treadle.session.record import SessionFacts
    from treadle.session.request import RunRequest
    from treadle.session.versions import RunVersions

_MANY_NODES = 10
"""With more node names than this, the command names equivalent input datasets instead, if they are shorter."""

_SECRETS_LEFT_OUT = f"The command that resumes this run does not contain secrets: replace each {MASK} with its value."


def add_resume_command(
    error: BaseException,
    request: RunRequest,
    versions: RunVersions,
    resume_from: tuple[str, ...],
    facts: SessionFacts,
    project: ConfiguredProject,
    *,
    is_recorded: bool = False,
) -> None:
    """Attach the command to a run's error, unless it has one already or no node is left to run.

    Args:
        error: a NodeError, which has the nodes to start from; any other error of the run, or an interrupt, gets a note.
        request: the request of the run.
        versions: finds the versions that the resumed run must load.
        resume_from: the nodes to start from if the error is not a NodeError.
        facts: the facts of the session.
        project: the configured project.
        is_recorded: whether the session is recorded in a store from which it can be resumed by its id.
    """
    nodes = error.resume_from if isinstance(error, NodeError) else resume_from
    if not nodes or (isinstance(error, NodeError) and error.resume is not None):
        return
    if is_recorded:
        command = recorded_resume_command(facts, program_of(project))
    else:
        request, start = _shortest_start(request, versions, nodes)
        command = resume_command(
            request,
            start,
            env=facts.env,
            params=facts.extra_params,
            conf_source=facts.given_conf_source,
            program=program_of(project),
        )
    if isinstance(error, NodeError):
        error.resume = command
        if MASK in command:
            add_note(error, _SECRETS_LEFT_OUT)
    elif isinstance(error, (*INTERRUPTS, RunError, RunnerError)):
        add_note(error, f"\nResume the run from here with:\n  {command}")
        if MASK in command:
            add_note(error, _SECRETS_LEFT_OUT)


def _shortest_start(request: RunRequest, versions: RunVersions, nodes: Sequence[str]) -> tuple[RunRequest, tuple[str, ...]]:
    """Choose the shortest way to name the start: the same request, some input datasets, or the nodes.

    Returns:
        The request to repeat, and the nodes to start from: none if all nodes must run again or datasets name the start.
    """
    resumed = request._replace(from_nodes=(), load_versions=versions.to_resume(nodes))
    pipeline = versions.pipeline
    if pipeline is None:
        return resumed, tuple(nodes)
    missing = {node.name for node in pipeline.from_nodes(*nodes).nodes}
    if len(missing) == len(pipeline.nodes):
        return request, ()  # no output of the failed run is reused
    filters = (request.from_nodes, request.from_inputs, request.node_names, request.to_nodes, request.to_outputs)
    if len(nodes) > _MANY_NODES and not any((*filters, request.tags, request.namespaces, request.only_missing_outputs)):
        datasets = _datasets_before(pipeline, set(nodes), missing)
        if datasets and len(",".join(datasets)) < len(",".join(nodes)):
            return resumed._replace(from_inputs=datasets), ()
    return resumed, tuple(nodes)


def _datasets_before(pipeline: Pipeline, nodes: set[str], missing: set[str]) -> tuple[str, ...]:
    """Find datasets whose consumers, with their descendants, are exactly the missing nodes; empty if there are none."""
    consumers: dict[str, set[str]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            consumers.setdefault(name, set()).add(node.name)
    chosen: list[str] = []
    uncovered = set(nodes)
    for name, consuming in sorted(consumers.items(), key=lambda item: (-len(item[1] & nodes), item[0])):
        if uncovered & consuming and consuming <= missing and not is_parameter(name):
            chosen.append(name)
            uncovered -= consuming
    return tuple(chosen) if not uncovered else ()


def recorded_resume_command(facts: SessionFacts, program: Sequence[str] = ("treadle", "run")) -> str:
    """Write the command that resumes a recorded session.

    Args:
        facts: the facts of the session.
        program: the words that start a run.

    Returns:
        The command, quoted for a shell. It names the secrets, which are not recorded, with masked values.
    """
    masked = mask_params(facts.extra_params)
    secrets = [f"{name}={MASK}" for name in masked_names(masked)]
    return shlex.join([*program, f"--resume={facts.session_id}", *([f"--params={','.join(secrets)}"] if secrets else [])])


def resume_command(
    request: RunRequest,
    resume_from: tuple[str, ...],
    *,
    env: str | None = None,
    params: Mapping[str, Any] | None = None,
    conf_source: str | None = None,
    program: Sequence[str] = ("treadle", "run"),
) -> str:
    """Write the command that runs the remaining nodes of a failed run.

    Args:
        request: the request of the failed run; `resume_from` replaces its `from_nodes`.
        resume_from: the nodes to start from; if empty, those of the request.
        env: the configuration environment given to the failed run.
        params: the params given to the failed run.
        conf_source: the configuration source given to the failed run.
        program: the words that start a run.

    Returns:
        The command, quoted for a shell, with secrets masked.
    """
    runner_params = dict(request.runner_params)
    is_async = runner_params.pop("is_async", False) is True
    flags = (
        ("pipelines", ",".join(request.pipeline_names)),
        ("runner", request.runner),
        ("runner-params", format_params(mask_params(runner_params))),
        ("env", env),
        ("tags", ",".join(request.tags)),
        ("nodes", ",".join(request.node_names)),
        ("from-nodes", ",".join(resume_from or request.from_nodes)),
        ("to-nodes", ",".join(request.to_nodes)),
        ("from-inputs", ",".join(request.from_inputs)),
        ("to-outputs", ",".join(request.to_outputs)),
        ("load-versions", ",".join(f"{name}:{version}" for name, version in request.load_versions.items())),
        ("namespaces", ",".join(request.namespaces)),
        ("params", format_params(mask_params(params or {}))),
        ("on-failure", request.on_failure),
        ("conf-source", conf_source),
    )
    words = [*program, *(f"--{flag}={value}" for flag, value in flags if value)]
    words += ["--async"] * is_async + ["--only-missing-outputs"] * request.only_missing_outputs
    return shlex.join(words)
