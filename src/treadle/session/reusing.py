"""Find out which nodes of a run are up to date, before it begins.

State: the last successes that a run knows, and its decisions (`treadle.planning.reuse`). Neighbours: `run_facts.py` collects what
the nodes depend on, `present_contents.py` looks at their files, `running.py` passes the decisions to the runner, and
`treadle.observe.store` has the last success of each node.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from treadle.collector import collection_paused
from treadle.errors import SessionError, StoreError, TreadleError
from treadle.planning.reuse.decisions import UNKNOWN, Decisions, Expected
from treadle.planning.reuse.facts import LastSuccess
from treadle.session.node_facts import PartsCollector
from treadle.session.present_contents import PresentContents
from treadle.session.run_facts import RunFacts
from treadle.session.worker_code import WorkerCode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pluggy import PluginManager

    from treadle.events import WorkerStarted
    from treadle.io import Catalog
    from treadle.observe.store import NodeRecord, SessionStore
    from treadle.pipeline import Node, Pipeline
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
                facts = RunFacts(pipeline, self._contents, collector, rules, seed, other_nodes, self.required)
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
