"""Fold the timeline of a very large run: nodes with similar names become one, and so do bars of a worker that are close together.

Failed nodes, repeated nodes, those of the critical path and the longest ones stay as they are. State: none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.events import Outcome
from treadle.observe.report.timeline import Waits
from treadle.observe.store.run_graph import GraphNode, RunGraph

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.observe.report.timeline import Attempt, Timeline

MOST_NODES = 20_000
"""How many nodes a page shows one by one; a larger run is folded."""

_MOST_BARS = 20_000
_PARTS = 4096
"""Into how many parts a run is divided at first to merge the attempts in each."""

_LONGEST = 200
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded timeline.

    Attributes:
        timeline: with one node for each group.
        counts: how many nodes each of its nodes stands for.
        sentence: what is folded, for the reader; None if nothing is.
    """

    timeline: Timeline
    counts: tuple[int, ...]
    sentence: str | None = None


def fold(timeline: Timeline, critical: Collection[int], most: int = MOST_NODES) -> Folded:
    """Fold a timeline if it has too many nodes for a page.

    Args:
        timeline: the timeline.
        critical: the nodes of the critical path, by index.
        most: how many nodes are shown one by one.
    """
    nodes = timeline.graph.nodes
    if len(nodes) <= most:
        return Folded(timeline, (1,) * len(nodes))
    single = _shown_one_by_one(timeline, critical)
    keys = [str(index) if index in single else pattern_of(node) for index, node in enumerate(nodes)]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    if len(places) > most:  # every name is different: one group for each namespace
        keys = [
            key if index in single else f"{nodes[index].namespace or 'no namespace'}: other" for index, key in enumerate(keys)
        ]
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    group_of = [places[key] for key in keys]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(group_of):
        members[group].append(index)
    groups = [_group(timeline.graph, members[place], key, group_of) for key, place in places.items()]
    folded = replace(
        timeline,
        graph=RunGraph(tuple(groups), timeline.graph.datasets, timeline.graph.limits),
        attempts=_merge(timeline, group_of),
        waiting=frozenset(group_of[index] for index in timeline.waiting),
        outcomes=tuple(_worst([timeline.outcomes[index] for index in members[place]]) for place in places.values()),
    )
    counts = tuple(len(members[place]) for place in places.values())
    many = sum(count > 1 for count in counts)
    sentence = (
        f"This run has {len(nodes):,} nodes. {sum(count for count in counts if count > 1):,} of them are folded into {many:,} "
        f"groups of nodes with similar names; the {sum(count == 1 for count in counts):,} others (failed or repeated nodes, the "
        "critical path and the longest nodes) are shown one by one. The summary counts every node."
    )
    return Folded(folded, counts, sentence)


def pattern_of(node: GraphNode) -> str:
    """Return the name of a node with `#` for each number, except in its namespace."""
    space = f"{node.namespace}." if node.namespace and node.name.startswith(f"{node.namespace}.") else ""
    return space + _DIGITS.sub("#", node.name[len(space) :])


def _shown_one_by_one(timeline: Timeline, critical: Collection[int]) -> set[int]:
    longest = sorted(timeline.attempts, key=lambda each: -each.seconds)[:_LONGEST]
    special = {each.node for each in timeline.attempts if each.number > 1 or each.outcome is not Outcome.SUCCEEDED}
    few = set(sorted(special)[:1000]) | set(sorted(critical)[:1000])
    return few | {each.node for each in longest}


def _group(graph: RunGraph, members: list[int], key: str, group_of: list[int]) -> GraphNode:
    first = graph.nodes[members[0]]
    if len(members) == 1:
        return first._replace(parents=tuple(sorted({group_of[parent] for parent in first.parents})))
    own = group_of[members[0]]
    parents = sorted({group_of[parent] for index in members for parent in graph.nodes[index].parents} - {own})
    return first._replace(name=key, inputs=(), outputs=(), parents=tuple(parents), resources=())


def _merge(timeline: Timeline, group_of: list[int]) -> tuple[Attempt, ...]:
    """Merge the attempts that a worker ran in the same part of the run, in as many parts as the page can show."""
    parts = _PARTS
    while parts > 1 and _count_merged(timeline, group_of, timeline.wall / parts) > _MOST_BARS:
        parts //= 4
    return _merged_in(timeline, group_of, timeline.wall / max(parts, 1) or 1.0)


def _count_merged(timeline: Timeline, group_of: list[int], width: float) -> int:
    return len({_bar_of(each, group_of, width) for each in timeline.attempts})


def _bar_of(each: Attempt, group_of: list[int], width: float) -> tuple[str, int, int, Outcome | None, int]:
    """Return what the attempts have in common that are merged: worker, part of the run, group, outcome and number."""
    return each.worker, int(each.started / width), group_of[each.node], each.outcome, each.number


def _merged_in(timeline: Timeline, group_of: list[int], width: float) -> tuple[Attempt, ...]:
    """Return the merged attempts: within a part of the run, those of a worker follow each other, each as long as its sum."""
    parts: defaultdict[tuple[str, int], dict[tuple[str, int, int, Outcome | None, int], Attempt]] = defaultdict(dict)
    for each in timeline.attempts:
        key = _bar_of(each, group_of, width)
        part = parts[key[:2]]
        before = part.get(key)
        attempt = each._replace(node=group_of[each.node], awaited=None)
        part[key] = attempt if before is None else _joined(before, attempt)
    done: list[Attempt] = []
    for part in parts.values():
        at = next(iter(part.values())).started
        for bar in part.values():
            done.append(bar._replace(started=at, finished=at + bar.seconds))
            at += bar.seconds
    return tuple(sorted(done, key=lambda each: (each.started, each.node, each.number)))


def _joined(first: Attempt, second: Attempt) -> Attempt:
    a, b = first.waits, second.waits
    waits = Waits(*(getattr(a, name) + getattr(b, name) for name in Waits._fields))
    return first._replace(
        finished=first.finished + second.seconds,
        load=(first.load or 0.0) + (second.load or 0.0),
        run=(first.run or 0.0) + (second.run or 0.0),
        save=(first.save or 0.0) + (second.save or 0.0),
        waits=waits,
    )


def _worst(outcomes: list[Outcome | None]) -> Outcome | None:
    for outcome in (Outcome.FAILED, Outcome.INTERRUPTED, None, Outcome.SUCCEEDED, Outcome.REUSED):
        if outcome in outcomes:
            return outcome
    return Outcome.SKIPPED
