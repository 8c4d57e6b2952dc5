"""The command that takes up a failed run where it stopped, written and put on the error.

A request, the facts of its session and the nodes to start from go in, a command line for a POSIX shell comes out.
Its params are written as they were given, unmasked, because the command must work; credentials are never params, they
come from configuration. No state. Neighbours: `session.py` raises the error, `treadle.config.writing` writes the params.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treadle.config.writing import format_params
from treadle.errors import NodeError, RunError, RunnerError
from treadle.pipeline.names import is_parameter
from treadle.secrets import MASK
from treadle.session.creation import program_of
from treadle.session.masking import mask_params
from treadle.session.running import add_note

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.project import ConfiguredProject
    from treadle.session.record import SessionFacts
    from treadle.session.request import RunRequest
    from treadle.session.versions import RunVersions

_MANY_NODES = 10
"""So many names can be read; where there are more, datasets that say the same are looked for."""

_SECRETS_LEFT_OUT = f"The command that resumes this run does not contain secrets: type them in place of {MASK}."


def say_how_to_resume(
    error: BaseException,
    request: RunRequest,
    versions: RunVersions,
    resume_from: tuple[str, ...],
    facts: SessionFacts,
    project: ConfiguredProject,
) -> None:
    """Put the command on a run's error, unless it is there or nothing would be left to do.

    Args:
        error: a node's, which knows the nodes to start from; or an interrupt, or an error of the run, which gets a note.
        request: what the run was asked for.
        versions: knows which the resumed run must load.
        resume_from: the nodes to start from, where it is no node's error.
        facts: those of the session.
        project: the configured project.
    """
    nodes = error.resume_from if isinstance(error, NodeError) else resume_from
    if not nodes or (isinstance(error, NodeError) and error.resume is not None):
        return
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
    elif isinstance(error, (KeyboardInterrupt, RunError, RunnerError)):
        add_note(error, f"\nResume the run from here with:\n  {command}")
        if MASK in command:
            add_note(error, _SECRETS_LEFT_OUT)


def _shortest_start(request: RunRequest, versions: RunVersions, nodes: Sequence[str]) -> tuple[RunRequest, tuple[str, ...]]:
    """Say in the fewest words where to start: nowhere else than this run, at some datasets, or at the nodes.

    Returns:
        The request to repeat, and the nodes to start from; none where all must run again, or where datasets say it.
    """
    resumed = replace(request, from_nodes=(), load_versions=versions.to_resume(nodes))
    pipeline = versions.pipeline
    if pipeline is None:
        return resumed, tuple(nodes)
    missing = {node.name for node in pipeline.from_nodes(*nodes).nodes}
    if len(missing) == len(pipeline.nodes):
        return request, ()  # nothing that was made is used again
    filters = (request.from_nodes, request.from_inputs, request.node_names, request.to_nodes, request.to_outputs)
    if len(nodes) > _MANY_NODES and not any((*filters, request.tags, request.namespaces, request.only_missing_outputs)):
        datasets = _datasets_before(pipeline, set(nodes), missing)
        if datasets and len(",".join(datasets)) < len(",".join(nodes)):
            return replace(resumed, from_inputs=datasets), ()
    return resumed, tuple(nodes)


def _datasets_before(pipeline: Pipeline, nodes: set[str], missing: set[str]) -> tuple[str, ...]:
    """Find datasets such that what takes them, and what follows that, is what is missing; empty where there are none."""
    takers: dict[str, set[str]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            takers.setdefault(name, set()).add(node.name)
    chosen: list[str] = []
    left = set(nodes)
    for name, taking in sorted(takers.items(), key=lambda item: (-len(item[1] & nodes), item[0])):
        if left & taking and taking <= missing and not is_parameter(name):
            chosen.append(name)
            left -= taking
    return tuple(chosen) if not left else ()


def resume_command(
    request: RunRequest,
    resume_from: tuple[str, ...],
    *,
    env: str | None = None,
    params: Mapping[str, Any] | None = None,
    conf_source: str | None = None,
    program: Sequence[str] = ("treadle", "run"),
) -> str:
    """Write the command that runs what a failed run left undone.

    Args:
        request: what the run was asked for; its own `from_nodes` give way to the new ones, which lie behind them.
        resume_from: the nodes to start from; those of the request where empty.
        env: the configuration environment that was given.
        params: the params that were given.
        conf_source: the configuration folder that was given.
        program: the words that start a run.

    Returns:
        The command, quoted for a shell; secrets are masked in it.
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
