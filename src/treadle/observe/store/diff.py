"""Compare the records of two sessions.

State: none. Neighbours: `records.py` defines the records; `treadle sessions diff` prints the differences, and `treadle sessions
rerun` prints the changes since the recorded session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.config.writing import same_value

if TYPE_CHECKING:
    from treadle.observe.store.records import NodeRecord, RunRecord, SessionRecord

_RUN_FACTS = ("pipelines", "runner", "start_method", "worker_count")


class Absent:
    """The value of a field that one of the sessions does not have."""

    def __repr__(self) -> str:
        return "–"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs; `ABSENT` if a session does not have it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """A node's last attempt in each session; None if the session's last run did not include the node."""

    node: str
    before: NodeRecord | None
    after: NodeRecord | None


@dataclass(frozen=True, slots=True)
class SessionDiff:
    """The differences between two sessions, by kind; `nodes` also lists nodes without differences.

    Attributes:
        facts: outcome, environment, configuration, project, user, machine.
        code: the commit, uncommitted changes, and the digest of the files.
        params: params given to the session, by dotted name.
        parameters: params that nodes of the last run loaded, by the names of their datasets.
        arguments: arguments of the last run, its runner and workers.
        environment: environment variables.
        versions: of Python, the platform and installed distributions.
        nodes: all nodes of both last runs.
    """

    facts: tuple[Change, ...]
    code: tuple[Change, ...]
    params: tuple[Change, ...]
    parameters: tuple[Change, ...]
    arguments: tuple[Change, ...]
    environment: tuple[Change, ...]
    versions: tuple[Change, ...]
    nodes: tuple[NodeTimes, ...]


def diff_sessions(before: SessionRecord, after: SessionRecord) -> SessionDiff:
    """Compare two sessions.

    Args:
        before: one session.
        after: the other.

    Returns:
        What differs.
    """
    names = ("project_path", "package_name", "env", "conf_source", "user", "host")
    facts = [(name, getattr(before, name), getattr(after, name)) for name in names]
    ended, ended_after = (record.outcome.value if record.outcome else None for record in (before, after))
    first, second = _last_run(before), _last_run(after)
    return SessionDiff(
        facts=tuple(_changed([("outcome", ended, ended_after), *facts])),
        code=tuple(
            _changed(
                [
                    ("commit", before.git_commit, after.git_commit),
                    ("not committed", before.git_dirty, after.git_dirty),
                    ("files of code and configuration (digest)", before.sources, after.sources),
                ]
            )
        ),
        params=diff_values(before.extra_params, after.extra_params),
        parameters=diff_values(_parameters(first), _parameters(second)),
        arguments=diff_values(_arguments(first), _arguments(second)),
        environment=diff_values(before.environment, after.environment),
        versions=diff_values(before.versions, after.versions),
        nodes=tuple(_nodes(first, second)),
    )


def diff_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Compare two nested mappings.

    Args:
        before: one.
        after: the other.

    Returns:
        What differs, by dotted names, sorted.
    """
    first, second = dict(_leaves(before, "")), dict(_leaves(after, ""))
    return tuple(
        Change(name, first.get(name, ABSENT), second.get(name, ABSENT))
        for name in sorted({*first, *second})
        if not same_value(first.get(name, ABSENT), second.get(name, ABSENT))
    )


def _changed(values: Iterable[tuple[str, Any, Any]]) -> Iterator[Change]:
    for name, before, after in values:
        if before != after:
            yield Change(name, ABSENT if before is None else before, ABSENT if after is None else after)


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        # A single name may contain dots, such as that of a distribution; it is not split.
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _last_run(record: SessionRecord) -> RunRecord | None:
    return record.runs[-1] if record.runs else None


def _parameters(run: RunRecord | None) -> Mapping[str, Any]:
    return run.parameters if run is not None else {}


def _arguments(run: RunRecord | None) -> dict[str, Any]:
    if run is None:
        return {}
    facts = {name: getattr(run, name) for name in _RUN_FACTS}
    return {**run.params, **{name: value for name, value in facts.items() if value is not None}}


def _nodes(before: RunRecord | None, after: RunRecord | None) -> Iterator[NodeTimes]:
    first = {node.node: node for node in before.nodes} if before is not None else {}
    second = {node.node: node for node in after.nodes} if after is not None else {}
    for name in dict.fromkeys((*first, *second)):
        yield NodeTimes(name, first.get(name), second.get(name))
