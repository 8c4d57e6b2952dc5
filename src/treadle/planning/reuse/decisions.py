"""Decide for each node of a run whether it is up to date.

A node is up to date if everything that its outputs depend on is as it was at its last success, and its outputs are still what
it saved. The content of a persistent input is compared, not the time of its file: a node that runs and saves the same bytes as
before leaves the nodes after it up to date. A value in memory has no content that can be compared, so it is identified by what
its own node depends on.

What the nodes depend on is collected once, before the run, and does not change. But what a node that runs will save is known
only when it has finished: `expected` says beforehand what is certain, and `is_up_to_date` decides when all parents of a node
are done. Runs in the parent. State: the contents known so far. Neighbours: the session collects the facts, the run loop asks.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from treadle.pipeline.names import base_name
from treadle.planning.reuse.facts import VALUES, digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from treadle.events import ContentRecord
    from treadle.planning.reuse.facts import NodeFacts, Parts

UNKNOWN: Final = "?"
"""The content of an input that cannot be verified, such as a database table, or is not known yet."""


class Expected(Enum):
    """What is known about a node before the run."""

    UP_TO_DATE = "up to date"
    RUNS = "will run"
    DEPENDS = "depends on the nodes before it"
    """It runs only if the nodes before it save something else than the last time."""


class Decisions:
    """Decide which nodes of one run are up to date.

    Args:
        nodes: the facts of all nodes of the run, in topological order.
        contents: the digest of each persistent dataset that no node of the run makes; None if it cannot be verified.
        in_memory: the datasets that nodes of the run make and that are kept in memory.
    """

    def __init__(
        self,
        nodes: Sequence[NodeFacts],
        contents: Mapping[str, str | None],
        in_memory: Iterable[str] = (),
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self.in_memory = frozenset(in_memory)
        """The datasets that nodes of the run make and that are kept in memory."""
        self._producers = {dataset: node.name for node in nodes for dataset in node.outputs}
        self._given = {name: digest or UNKNOWN for name, digest in contents.items()}
        self._contents: dict[str, str] = {}
        self._changed: set[str] = set()  # the nodes of which something has changed that can be compared
        self.expected: dict[str, Expected] = {}
        """What is known about each node before the run, in topological order."""
        self.causes: dict[str, tuple[str, ...]] = {}
        """Why each node that is not up to date has to run, as far as it is known; one sentence each."""
        self._expect_all({})
        self._needed = self._needed_values()
        if self._needed:  # they run as well, and what they save may differ from the last time
            self._expect_all(self._needed)

    @property
    def nothing_runs(self) -> bool:
        """Whether every node is certainly up to date."""
        return all(expected is Expected.UP_TO_DATE for expected in self.expected.values())

    @property
    def last_outputs(self) -> dict[str, ContentRecord]:
        """The contents of persistent outputs as they were saved at the last success of their nodes, by dataset."""
        return {record.dataset: record for node in self._nodes.values() if node.last is not None for record in node.last.outputs}

    @property
    def changed(self) -> dict[str, str]:
        """Why each node certainly runs that has succeeded before, unless only its value in memory is needed: the first cause."""
        return {
            name: causes[0]
            for name, causes in self.causes.items()
            if self._nodes[name].last is not None and causes != (self._needed.get(name),)
        }

    @property
    def nodes(self) -> list[NodeFacts]:
        """The facts of all nodes, in topological order."""
        return list(self._nodes.values())

    @property
    def undecided(self) -> list[str]:
        """The nodes that may be up to date."""
        return [name for name, expected in self.expected.items() if expected is not Expected.RUNS]

    def is_up_to_date(self, name: str) -> bool:
        """Decide about a node whose parents are all done.

        Args:
            name: the node.

        Returns:
            True if its outputs from an earlier run can be used.
        """
        node = self._nodes[name]
        if self.expected[name] is Expected.UP_TO_DATE:
            return True
        causes = self._causes(node, self.parts(name))
        if causes:
            self.causes[name] = causes
            return False
        self._reuse(node)
        return True

    def node_finished(self, name: str, outputs: Iterable[ContentRecord]) -> None:
        """Take the contents that a node has saved.

        Args:
            name: the node.
            outputs: the content of each of its persistent outputs.
        """
        node = self._nodes[name]
        contents = {base_name(record.dataset): record.digest for record in outputs}
        for dataset in node.outputs:
            if dataset not in self.in_memory:
                self._contents[dataset] = contents.get(dataset) or UNKNOWN
        self._identify_values(node)

    def unread_inputs(self, name: str) -> list[str]:
        """Return the persistent inputs of a node that no node of the run makes, and whose content was not given."""
        return [each for each in self._nodes[name].inputs if each not in self._producers and each not in self._contents]

    def note_content(self, dataset: str, digest: str | None) -> None:
        """Take the content of an input that was not given at first; None if it cannot be verified."""
        self._contents[dataset] = digest or UNKNOWN

    def forget_values(self, name: str) -> None:
        """Take the in-memory outputs of a node as unknown, because it is not known what the node has loaded."""
        self._contents.update((dataset, UNKNOWN) for dataset in self._nodes[name].outputs if dataset in self.in_memory)

    def parts(self, name: str) -> Parts:
        """Return everything that the outputs of a node depend on, including the contents of its inputs, as far as known."""
        node = self._nodes[name]
        return {**node.parts, **{f"input {dataset}": self._contents.get(dataset, UNKNOWN) for dataset in node.inputs}}

    def _expect_all(self, needed: Mapping[str, str]) -> None:
        self._contents = dict(self._given)
        self.causes = {}
        for node in self._nodes.values():
            self.expected[node.name] = self._expect(node, needed.get(node.name))

    def _expect(self, node: NodeFacts, need: str | None) -> Expected:
        if need is None and self._is_as_before(node):
            self._reuse(node)
            return Expected.UP_TO_DATE
        pending = {f"input {dataset}" for dataset in node.inputs if dataset not in self._contents}
        parts = {name: value for name, value in self.parts(node.name).items() if name not in pending}
        causes = self._causes(node, parts, ignored=pending) or (() if need is None else (need,))
        if causes:
            self.causes[node.name] = causes
            if not pending:
                self._identify_values(node)
            return Expected.RUNS
        if pending:
            return Expected.DEPENDS
        self._reuse(node)
        return Expected.UP_TO_DATE

    def _is_as_before(self, node: NodeFacts) -> bool:
        """Return whether a node has certainly no cause to run: a quick check, as that is so for most nodes of large projects."""
        if node.last is None or node.must_run:
            return False
        parts = dict(node.parts)
        for dataset in node.inputs:
            content = self._contents.get(dataset, UNKNOWN)
            if content == UNKNOWN:
                return False
            parts[f"input {dataset}"] = content
        return parts == node.last.parts

    def _causes(self, node: NodeFacts, parts: Parts, ignored: Collection[str] = ()) -> tuple[str, ...]:
        """Return why a node has to run; empty if it is up to date."""
        found = self._changes(node, parts, ignored)
        if found:
            self._changed.add(node.name)
        else:
            self._changed.discard(node.name)
        if node.last is None or node.last.is_invalidated:
            return (*found, *node.must_run)
        unverified = () if node.trusting else _unverified(parts)
        return (*node.must_run, *(f"the content of {name} cannot be verified" for name in unverified), *found)

    def _changes(self, node: NodeFacts, parts: Parts, ignored: Collection[str]) -> tuple[str, ...]:
        """Return what has changed since the last success of a node; empty if nothing has, as far as that can be verified."""
        if node.last is None:
            return ("no successful run of it is recorded",)
        if node.last.is_invalidated:
            return ("it was invalidated",)
        from treadle.planning.reuse.causes import changes  # imported late: it may be that nothing has changed

        unverified = _unverified(parts)
        skipped = {*unverified, *ignored, VALUES}
        before = {name: value for name, value in node.last.parts.items() if name not in skipped}
        now = {name: value for name, value in parts.items() if name not in skipped}
        producers = ((name, self._producers.get(name.removeprefix("input "))) for name in unverified)
        upstream = [f"{producer}, which makes {name}, has changed" for name, producer in producers if producer in self._changed]
        return (*changes(before, now), *(upstream if node.trusting else ()))

    def _reuse(self, node: NodeFacts) -> None:
        """Take the contents that a node saved when it last ran."""
        if node.last is not None:
            self.node_finished(node.name, node.last.outputs)

    def _identify_values(self, node: NodeFacts) -> None:
        """Identify the in-memory outputs of a node, by what the node depends on."""
        made = self.in_memory.intersection(node.outputs) if self.in_memory else ()
        if not made:
            return
        parts = self.parts(node.name)
        known = UNKNOWN not in parts.values()
        digest = digest_of(parts) if known else UNKNOWN
        self._contents.update(dict.fromkeys(made, f"made by {node.name} {digest}" if known else UNKNOWN))

    def _needed_values(self) -> dict[str, str]:
        """Return the up-to-date nodes whose values in memory are needed by nodes that will run, each with this as its cause."""
        needed: dict[str, str] = {}
        frontier = [name for name, expected in self.expected.items() if expected is Expected.RUNS]
        while frontier:
            name = frontier.pop()
            for dataset in self._nodes[name].inputs:
                producer = self._producers.get(dataset)
                if producer is None or dataset not in self.in_memory or producer in needed:
                    continue
                if self.expected[producer] is not Expected.RUNS:
                    needed[producer] = f"its output {dataset} is kept in memory, and {name} needs it"
                    frontier.append(producer)
        return needed


def _unverified(parts: Parts) -> list[str]:
    """Return the inputs whose contents cannot be verified."""
    return sorted(name for name, value in parts.items() if value == UNKNOWN and name.startswith("input "))
