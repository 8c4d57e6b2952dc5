"""Find out which nodes of a run are up to date, before it begins.

State: none; the decisions of the run are in `treadle.planning.reuse`. Neighbours: `node_facts.py` collects what a node depends
on, `present_contents.py` looks at its files, `running.py` passes the decisions to the runner, and `treadle.observe.store` has the
last success of each node.
"""

from __future__ import annotations

import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from treadle.collector import collection_paused
from treadle.errors import SessionError, StoreError, TreadleError, UnknownNameError
from treadle.pipeline.names import base_name, is_parameter
from treadle.pipeline.policy import CachePolicy
from treadle.planning.reuse.decisions import UNKNOWN, Decisions, Expected
from treadle.planning.reuse.facts import VALUES, LastSuccess, NodeFacts
from treadle.session.node_facts import PartsCollector
from treadle.session.present_contents import PresentContents
from treadle.session.worker_code import WorkerCode
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pluggy import PluginManager

    from treadle.events import WorkerStarted
    from treadle.io import Catalog
    from treadle.observe.store import NodeRecord, SessionStore
    from treadle.pipeline import Node, Pipeline
    from treadle.pipeline.policy import NodePolicy
    from treadle.planning.policies import PolicyRules

_logger = logging.getLogger(__name__)
_MOST_LOGGED: Final = 20
"""Number of nodes of which it is logged why they run again; a change of a helper may concern thousands."""


def or_none_known(read: Callable[[], Mapping[str, LastSuccess]]) -> Callable[[], Mapping[str, LastSuccess]]:
    """Return a function that reads the last successes; if they cannot be read, it logs why, and no node is up to date."""

    def read_or_warn() -> Mapping[str, LastSuccess]:
        try:
            return read()
        except StoreError as exc:
            _logger.warning("No node is skipped, because the record of the nodes that are up to date cannot be read: %s", exc)
            return {}

    return read_or_warn


class Reuse:
    """Decide which nodes of one run are up to date, and remember what each node depends on, for the next runs.

    Args:
        package: the project's package.
        last: returns the last success of each node, by name.
        skips: whether nodes that are up to date are skipped; otherwise the decisions are only recorded.
        trusting: whether a node that succeeded counts as done even if its inputs or outputs cannot be verified; for resuming.
        forced: nodes that run in any case; True for all.
        env: the configuration environment under which successes are stored; None for the default one.
        store: the store of the sessions.
        max_stored: the most bytes that stored values of earlier runs use.
    """

    def __init__(
        self,
        package: str,
        last: Callable[[], Mapping[str, LastSuccess]],
        *,
        env: str | None = None,
        store: SessionStore | None = None,
        max_stored: int = 0,
        skips: bool = True,
        trusting: bool = False,
        forced: bool | Collection[str] = False,
    ) -> None:
        self._package = package
        self.env = env
        """The environment of the successes."""
        self.store = store
        self.max_stored = max_stored
        self._read_last = last
        self._has_read = False
        self.last: Mapping[str, LastSuccess] = {}
        """The last success of each node; read by `read_last`."""
        self.skips = skips
        self._trusting = trusting
        self.forced = forced
        """The nodes that run in any case, and may save something else; True for all."""
        self.required: Collection[str] = ()
        """The nodes that run in any case because their results are returned; a framework sets it before `decide`."""
        self._contents: PresentContents | None = None
        self._outputs: dict[str, tuple[str, ...]] = {}
        self._worker_code: WorkerCode | None = None
        self.decisions: Decisions | None = None
        """What is decided about the run; None before it begins, and if the facts could not be collected."""

    def read_last(self) -> Mapping[str, LastSuccess]:
        """Return the last success of each node, by name; empty if nothing is skipped."""
        if self.skips and not self._has_read:
            self.last, self._has_read = self._read_last(), True
        return self.last

    def decide(
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        *,
        hooks: PluginManager | None,
        rules: PolicyRules,
        seed: int | None,
        other_nodes: Callable[[], Iterable[Node] | None] = lambda: None,
    ) -> Decisions | None:
        """Collect the facts of a run, before it begins.

        If nothing is skipped, the contents of its inputs are not read now, which would delay the run, but when they are recorded.

        Args:
            pipeline: the nodes of the run.
            catalog: the catalog of the run.
            hooks: the registered hooks.
            rules: the configured policies of nodes.
            seed: the seed of the run, if it has one.
            other_nodes: returns the nodes of all pipelines, which may have made the inputs of this run; None if unknown.

        Returns:
            The decisions for the runner; None if all nodes run.
        """
        try:
            with collection_paused():  # the facts of a hundred thousand nodes would be traversed again and again
                self._contents = PresentContents(catalog, self.read_last())
                self._outputs = {node.name: node.outputs for node in pipeline.nodes}
                self._worker_code = WorkerCode(self._package)
                collector = PartsCollector(self._package, catalog, hooks)
                facts = _Facts(pipeline, self._contents, collector, rules, seed, other_nodes, self.required)
                self.decisions = facts.decide(self.last, trusting=self._trusting, forced=self.forced, reads=self.skips)
        except TreadleError:
            raise
        except Exception:  # the code of a project can be anything, and must still run
            _logger.exception(
                "What the nodes depend on could not be determined, so all nodes run, and none can be skipped next time."
            )
            return None
        return self.decisions if self.skips else None

    def worker_started(self, event: WorkerStarted) -> None:
        """Note a worker, which may have imported other code than this process."""
        if self._worker_code is not None:
            self._worker_code.worker_started(event)

    def log_changes(self) -> None:
        """Log which nodes of a resumed session run although they were done, and why."""
        changed = self.decisions.changed if self.decisions is not None and self._trusting and self.skips else {}
        for name, cause in list(changed.items())[:_MOST_LOGGED]:
            _logger.info("Node '%s' was done, but runs again: %s.", name, cause)
        if len(changed) > _MOST_LOGGED:
            _logger.info("%d more nodes were done, but run again; --dry-run shows all of them.", len(changed) - _MOST_LOGGED)

    def refreshed(self) -> dict[str, LastSuccess]:
        """Return the last successes of up-to-date nodes whose files were read again, with the new records of their contents.

        The record that is made when a file is saved is too fresh to be trusted later: the file could be changed once more within
        the same tick of its clock. With the new record, the next decision does not have to read the file.
        """
        if self.decisions is None or self._contents is None or not self.skips:
            return {}
        found: dict[str, LastSuccess] = {}
        for name, success in self.last.items():
            if self.decisions.expected.get(name) is Expected.UP_TO_DATE:
                inputs, outputs = self._contents.newest(success.inputs), self._contents.newest(success.outputs)
                if (inputs, outputs) != (success.inputs, success.outputs):
                    found[name] = success._replace(inputs=inputs, outputs=outputs)
        return found

    def success(self, node: NodeRecord, session_id: str) -> LastSuccess | None:
        """Return what the store keeps of a node that succeeded; None if it is not known what the node depends on.

        It is called for each node after the nodes before it, and after `decide`, in any thread.

        Args:
            node: the record of the node.
            session_id: the session.
        """
        if self.decisions is None or self._contents is None:
            return None
        try:
            return self._success(node, session_id, self.decisions, self._contents)
        except Exception:  # a dataset may raise anything, and the record of the node must not be lost
            _logger.exception("What node '%s' depends on is not recorded, so it will run the next time.", node.node)
            return None

    def _success(self, node: NodeRecord, session_id: str, decisions: Decisions, contents: PresentContents) -> LastSuccess | None:
        if not self.skips:  # otherwise `decide` and the run loop have done it
            for name in decisions.unread_inputs(node.node):
                decisions.note_content(name, contents.of_input_before(name))
            decisions.node_finished(node.node, node.outputs)
        contents.note_saved(node.outputs)
        if self._worker_code is not None and self._worker_code.may_differ(node):
            decisions.forget_values(node.node)
            return None
        parts = dict(decisions.parts(node.node))
        for part in parts:
            if part.startswith("input ") and contents.was_replaced(part.removeprefix("input ")):
                parts[part] = UNKNOWN  # by a run at the same time: it is not known which content the node has loaded
                decisions.forget_values(node.node)
        finished = node.finished or time.time()
        return LastSuccess(session_id, finished, parts, node.outputs, contents.inputs_of(parts), self.env)

    def accepted(self, names: Iterable[str], session_id: str, at: float) -> dict[str, LastSuccess]:
        """Return what the store keeps of nodes that the user takes as up to date as they are now.

        Args:
            names: the nodes.
            session_id: the session in which they are accepted.
            at: when, in seconds since the epoch.

        Returns:
            The successes, by node name.

        Raises:
            SessionError: an output is missing.
        """
        if self.decisions is None or self._contents is None:
            return {}
        wanted = set(names)
        successes = {}
        for node in self.decisions.nodes:  # in topological order, so that the inputs of a node are known
            outputs = self._contents.of_outputs(self._outputs[node.name])
            missing = [name for name, record in outputs.items() if record is None]
            if missing and node.name in wanted:
                msg = f"Node {node.name!r} cannot be taken as up to date: its output {missing[0]} does not exist. Run it first."
                raise SessionError(msg, session_id=session_id)
            found = tuple(record for record in outputs.values() if record is not None)
            self.decisions.node_finished(node.name, found)
            if node.name in wanted:
                parts = self.decisions.parts(node.name)
                successes[node.name] = LastSuccess(session_id, at, parts, found, self._contents.inputs_of(parts), self.env)
        return successes


class _Facts:
    """Collects the facts of the nodes of a run."""

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
        """
        everything, names = forced is True, forced if not isinstance(forced, bool) else ()
        self._check_names(names)
        free = [
            name for name in sorted(self._pipeline.inputs()) if not is_parameter(name) and base_name(name) not in self._producers
        ]
        if not reads:
            self._contents.identify(free)
        contents = {base_name(name): self._contents.of_input(name) for name in free if reads}
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
