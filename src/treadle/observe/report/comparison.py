"""Compare two runs: nodes that were added, removed, slower, faster, skipped or failed, and what differs around them.

A node counts as slower or faster if its difference is larger than the noise of its history. State: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.observe.store.diff import diff_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.observe.report.history import Usual
    from treadle.observe.store import NodeRecord, SessionRecord

_SMALLEST_SHARE = 0.1
_SMALLEST_SECONDS = 0.01
_DEVIATIONS = 3.0
_OUTCOMES: Mapping[Outcome | None, str] = {
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.REUSED: "reused",
    Outcome.SUCCEEDED: "succeeded",
}
"""The kinds of changes to an outcome; any other is `"unfinished"`."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node in two runs.

    Attributes:
        name: its name.
        kind: `"added"`, `"removed"`, `"failed"`, `"unfinished"` (it was interrupted, or runs), `"skipped"`, `"reused"` (it was up
            to date), `"ran"` (it did not run before), `"succeeded"` (it ran, but did not succeed before), `"slower"`, `"faster"`,
            or `"same"`.
        before, after: seconds; None if it did not run.
    """

    name: str
    kind: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float:
        """Seconds that it takes more than before; a node that did not run takes none."""
        return (self.after or 0.0) - (self.before or 0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two sessions and their last runs.

    Attributes:
        changes: (what, before, after) of params, code, environment and versions.
        nodes: all nodes of both runs; those with the largest differences first.
        before, after: seconds of the runs.
    """

    changes: tuple[tuple[str, Any, Any], ...]
    nodes: tuple[NodeChange, ...]
    before: float | None
    after: float | None


def compare(before: SessionRecord, after: SessionRecord, usual: Mapping[str, Usual]) -> Comparison:
    """Compare two sessions.

    Args:
        before: the earlier session.
        after: the later one.
        usual: the usual duration of nodes in earlier runs, by name.
    """
    diff = diff_sessions(before, after)
    sections = (("", diff.facts), ("", diff.code), ("param ", diff.params), ("", diff.parameters), ("argument ", diff.arguments))
    more = (("variable ", diff.environment), ("version of ", diff.versions))
    changes = tuple(
        (f"{prefix}{each.name}", each.before, each.after) for prefix, section in (*sections, *more) for each in section
    )
    nodes = [_change(each.node, each.before, each.after, usual.get(each.node)) for each in diff.nodes]
    nodes.sort(key=lambda each: (each.kind == "same", -abs(each.difference)))
    return Comparison(changes, tuple(nodes), _wall(before), _wall(after))


def _change(name: str, before: NodeRecord | None, after: NodeRecord | None, usual: Usual | None) -> NodeChange:
    first, second = _seconds(before), _seconds(after)
    return NodeChange(name, _kind(before, after, first, second, usual), first, second)


def _kind(
    before: NodeRecord | None, after: NodeRecord | None, first: float | None, second: float | None, usual: Usual | None
) -> str:
    if before is None or after is None:
        return "added" if before is None else "removed"
    if before.outcome is not Outcome.SUCCEEDED or after.outcome is not Outcome.SUCCEEDED:
        return _kind_of_outcomes(before.outcome, after.outcome)
    if first is None or second is None:
        return "same"
    noise = _DEVIATIONS * usual.noise if usual is not None and usual.runs > 1 else 0.0
    if abs(second - first) <= max(noise, _SMALLEST_SHARE * first, _SMALLEST_SECONDS):
        return "same"
    return "slower" if second > first else "faster"


def _kind_of_outcomes(before: Outcome | None, after: Outcome | None) -> str:
    """Return the kind of a change of a node that did not succeed in both runs, so that its durations cannot be compared."""
    first, second = (_OUTCOMES.get(each, "unfinished") for each in (before, after))
    if after is Outcome.SUCCEEDED:
        return "ran" if first in ("skipped", "reused") else "succeeded"
    return "same" if first == second != "failed" else second


def _seconds(node: NodeRecord | None) -> float | None:
    if node is None or node.started is None or node.finished is None:
        return None
    return node.finished - node.started


def _wall(session: SessionRecord) -> float | None:
    run = session.runs[-1] if session.runs else None
    return run.finished - run.started if run is not None and run.finished is not None else None
