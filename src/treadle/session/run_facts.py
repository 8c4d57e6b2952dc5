"""Collect what decides whether the nodes of a run are up to date: what they depend on, their policies, and their last successes.

State: what was collected for one run. Neighbours: `node_facts.py` collects what one node depends on, `present_contents.py` looks
at its files, `treadle.planning.reuse` decides, `reusing.py` calls this before a run.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from treadle.errors import UnknownNameError
from treadle.parameter_names import is_parameter
from treadle.pipeline.names import base_name
from treadle.pipeline.policy import CachePolicy
from treadle.planning.reuse.decisions import Decisions
from treadle.planning.reuse.facts import VALUES, LastSuccess, NodeFacts
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from treadle.pipeline import Node, Pipeline
    from treadle.pipeline.policy import NodePolicy
    from treadle.planning.policies import PolicyRules
    from treadle.session.node_facts import PartsCollector
    from treadle.session.present_contents import PresentContents


class RunFacts:
    """Collects the facts of the nodes of a run.

    Args:
        pipeline: the nodes of the run.
        contents: the contents of its datasets.
        collector: collects what one node depends on.
        rules: the configured policies of nodes.
        seed: the seed of the run, if it has one.
        other_nodes: returns the nodes of all pipelines, which may have made the inputs of this run; None if unknown.
        required: the nodes whose results are required.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        contents: PresentContents,
        collector: PartsCollector,
        rules: PolicyRules,
        seed: int | None,
        other_nodes: Callable[[], Iterable[Node] | None],
        required: Collection[str],
    ) -> None:
        self._required = required
        self._run = os.urandom(8).hex()
        self._other_nodes = other_nodes
        self._other_producers: dict[str, list[Node]] | None = None  # by base name, when they are needed
        self._pipeline = pipeline
        self._contents = contents
        self._collector = collector
        self._rules = rules
        self._seed = seed
        names = {name for node in pipeline.nodes for name in node.inputs}
        self._bases = {name: base_name(name) for name in names if not is_parameter(name)}
        used = set(self._bases.values())
        self._producers: dict[str, Node] = {}  # by base name
        self._in_memory: set[str] = set()
        for node in pipeline.nodes:
            for name in node.outputs:
                base = self._bases[name] = base_name(name)
                self._producers[base] = node
                if contents.is_in_memory(name):
                    self._in_memory.add(base)
        self._results = self._in_memory - used

    def decide(
        self, last: Mapping[str, LastSuccess], *, trusting: bool, forced: bool | Collection[str], reads: bool
    ) -> Decisions:
        """Return the decisions of the run.

        Args:
            last: the last success of each node, by name.
            trusting: as for `Reuse`.
            forced: as for `Reuse`.
            reads: whether the contents of the inputs are read now; otherwise their files are identified.

        Raises:
            UnknownNameError: a node that is forced to run is not a node of the run.
        """
        everything, names = forced is True, forced if not isinstance(forced, bool) else ()
        self._check_names(names)
        free = [
            name for name in sorted(self._pipeline.inputs()) if not is_parameter(name) and base_name(name) not in self._producers
        ]
        if not reads:
            self._contents.identify(free)
        contents = self._contents.of_inputs(free if reads else ())
        facts = [
            self._facts(node, last.get(node.name), trusting=trusting, forced=everything or node.name in names)
            for node in self._pipeline.nodes
        ]
        return Decisions(facts, contents, self._in_memory)

    def _check_names(self, names: Collection[str]) -> None:
        """Raise if a node that shall run in any case is not a node of the run."""
        known = [node.name for node in self._pipeline.nodes]
        for name in names:
            if name not in known:
                close = close_names(name, known)
                hint = did_you_mean(close, "`treadle status` shows the nodes.")
                msg = f"force= names {name!r}, which is not a node of this run.{hint}"
                raise UnknownNameError(msg, name=name, close=close)

    def _facts(self, node: Node, success: LastSuccess | None, *, trusting: bool, forced: bool) -> NodeFacts:
        policy = self._rules.of(node)
        parts, doubts = self._collector.parts(node)
        if policy is not None or self._seed is not None:
            parts.update(_policy_parts(policy, self._seed))
        inputs = dict.fromkeys([self._bases[name] for name in node.inputs if name in self._bases])
        for name in node.inputs:
            base = self._bases.get(name)
            if base is not None:
                classes = self._collector.stored_classes(name, partial(self._producers_of, base))
                if classes:
                    parts[f"classes of {base}"] = classes
        outputs = tuple([self._bases[name] for name in node.outputs])
        trusting = trusting or (policy is not None and policy.cache is CachePolicy.ALWAYS)
        causes = ["it is forced to run"] if forced else []
        causes += _policy_causes(policy, success) if policy is not None else []
        causes += doubts if not trusting else []
        if not self._in_memory.isdisjoint(outputs):
            parts.update(self._made_by(success, anew=bool(causes)))
        causes += self._other_causes(node, success, trusting=trusting)
        return NodeFacts(
            name=node.name,
            parts=parts,
            inputs=tuple(inputs),
            outputs=outputs,
            last=success,
            must_run=tuple(causes),
            trusting=trusting,
        )

    def _other_causes(self, node: Node, success: LastSuccess | None, *, trusting: bool) -> list[str]:
        """Return why a node has to run although it would save, or make, what it did the last time."""
        causes = ["its results are required"] if node.name in self._required else []
        causes += [f"it confirms {', '.join(node.confirms)}"] if node.confirms else []
        if self._contents.missing:
            causes += [f"input {name} does not exist" for name in node.inputs if name in self._contents.missing]
        if not trusting:
            causes += self._unverifiable(node)
        if success is not None:
            persistent = [name for name in node.outputs if self._bases[name] not in self._in_memory]
            causes += self._contents.changed_outputs(persistent, success, trusting=trusting)
        return causes

    def _made_by(self, success: LastSuccess | None, *, anew: bool) -> dict[str, str]:
        """Return the run that made a node's values in memory, as a part of what identifies them.

        A node that runs although nothing has changed, because of its policy or of what cannot be compared, may make other values
        than the last time. Values that are only made again, because another node needs them, are as before.

        Args:
            success: the last success of the node.
            anew: whether the node may make other values.
        """
        run = self._run if anew or success is None or success.is_invalidated else success.parts.get(VALUES)
        return {VALUES: run} if run is not None else {}

    def _producers_of(self, base: str) -> list[Node]:
        """Return the nodes that make a dataset: of this run, else of all pipelines."""
        if base in self._producers:
            return [self._producers[base]]
        if self._other_producers is None:
            self._other_producers = {}
            for node in self._other_nodes() or ():
                for name in node.outputs:
                    self._other_producers.setdefault(base_name(name), []).append(node)
        return self._other_producers.get(base, [])

    def _unverifiable(self, node: Node) -> list[str]:
        if not node.outputs:
            return ["it has no outputs"]
        if not self._results:
            return []
        results = [name for name in node.outputs if self._bases[name] in self._results]
        return [f"its output {name} is kept in memory, and is a result of the run" for name in results]


def _policy_parts(policy: NodePolicy | None, seed: int | None) -> dict[str, str]:
    """Return the parts that the policy of a node and the seed of its run add."""
    if policy is not None and policy.seed is not None:
        seed = None if policy.seed is False else policy.seed
    parts = {} if seed is None else {"seed": str(seed)}
    return parts if policy is None or policy.version is None else {**parts, "version": policy.version}


def _policy_causes(policy: NodePolicy, success: LastSuccess | None) -> list[str]:
    """Return the causes that the policy of a node gives."""
    causes = []
    if policy.cache is CachePolicy.NEVER:
        causes.append("its policy is cache: never")
    if policy.max_age is not None and success is not None and time.time() - success.finished > policy.max_age:
        causes.append(f"its last success is older than the max_age of its policy, {policy.max_age:g} s")
    return causes
