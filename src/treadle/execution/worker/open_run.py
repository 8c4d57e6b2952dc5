"""Open a run in a worker process: make its nodes, catalog, hooks and context from a RunSpec. Used by the workers of all backends.

Runs in workers. `run.py` runs jobs with it in loky's workers, `executors/inline_worker.py` in those of backends whose values
travel inside messages. State: the nodes and context of one run, and the objects that the process keeps from one run to the next.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

from treadle.collector import collection_paused
from treadle.execution.attempt.context import RunContext
from treadle.execution.worker import process_state
from treadle.project.logging import apply_levels
from treadle.secrets import register_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pluggy

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.execution.attempt.validators import MemoryValidators
    from treadle.execution.protocol.messages import HookPayload, RunSpec
    from treadle.hooks import WorkerFacts
    from treadle.io.catalog import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline import Node
    from treadle.project.logging import LoggingLevels


class BetweenRuns:
    """The state that a worker process keeps from one run to the next.

    Args:
        system_settings: whether the parent's umask, priority, usable cores and resource limits are applied; False where the
            process may be on another machine.

    Attributes:
        levels: the logging levels that the last run applied.
        state: the state of the parent process that the last run applied.
        nodes: for each wiring, by its number, the nodes of its last run by their pickle, because later runs may have them too.
    """

    def __init__(self, *, system_settings: bool = True) -> None:
        self.system_settings = system_settings
        self.levels: LoggingLevels | None = None
        self.state = b""
        self.nodes: dict[int, dict[bytes, tuple[Node, ...]]] = {}
        self._pickled_wirings: dict[int, bytes] = {}  # those that no run has needed yet
        self._wirings: dict[int, tuple[Any, ...]] = {}

    def add_wiring(self, number: int, pickled: bytes) -> None:
        """Keep the pickled wiring of a RunSpec for this run and later ones."""
        self._pickled_wirings[number] = pickled

    def drop_wirings(self, numbers: Iterable[int]) -> None:
        """Free wirings that no run will need, and their nodes."""
        for number in numbers:
            self._pickled_wirings.pop(number, None)
            self._wirings.pop(number, None)
            self.nodes.pop(number, None)

    def wiring(self, number: int) -> tuple[Any, ...]:
        """Return a wiring. It is unpickled when a run first needs it."""
        if number in self._pickled_wirings:
            self._wirings[number] = pickle.loads(self._pickled_wirings[number])  # noqa: S301 - the parent sent it
            del self._pickled_wirings[number]
        return self._wirings[number]


class OpenRun:
    """One run in a worker process.

    Args:
        spec: the description of the run.
        facts: the description of this process, for plugins.
        between: the objects that the process keeps between runs; they are updated.
        on_node: called with the name of each node before it is attempted.
        folder: this process's directory of the run, if it does not see the parent's; None for the parent's.
        wiring: the number of the spec's wiring; 0 for all runs if the process keeps only the nodes of the last one.

    Raises:
        WorkerSetupError: a plugin's `on_worker_start` failed.
    """

    def __init__(
        self,
        spec: RunSpec,
        facts: WorkerFacts,
        between: BetweenRuns,
        on_node: Callable[[str], None] = lambda _name: None,
        folder: str | None = None,
        wiring: int = 0,
    ) -> None:
        self.spec = spec
        self.copy_modes = _copy_modes(spec.copy_modes) if spec.copy_modes else {}
        self._on_node = on_node
        self._groups: dict[int, tuple[Node, ...]] = {}
        self._pickled = dict(spec.objects)
        self._known = tuple(between.nodes.values())
        self._lasting: dict[bytes, tuple[Node, ...]] = {}
        between.nodes[wiring] = self._lasting  # filled as groups are unpickled
        register_secrets(spec.secrets)
        apply_levels(spec.levels, between.levels)
        between.levels = spec.levels
        if spec.process_state != between.state:
            process_state.apply(spec.process_state, system=between.system_settings)
            between.state = spec.process_state
        for definition in spec.definitions:
            pickle.loads(definition)  # noqa: S301 - the parent sent it; the object is then found by its name
        self._made_catalog: Catalog | None = None
        self.context = RunContext(
            run_id=spec.run_id,
            process=os.getpid(),
            node=self._node,
            inputs=spec.inputs,
            outputs=spec.outputs,
            dataset_names=spec.dataset_names,
            in_memory=spec.in_memory,
            copy_mode=self.copy_modes.get,
            open_catalog=self._catalog,
            hooks=_hooks(spec.hooks) if spec.hooks else None,
            is_async=spec.is_async,
            timeouts=dict(spec.timeouts),
            is_result=spec.is_result if spec.opener is None else (),
            seeds=spec.seeds,
            records_outputs=spec.records_outputs,
            in_worker=True,
            validators=_validators(spec) if spec.validators else None,
            state=_shared_state(spec, folder),
            strategy=pickle.loads(spec.opener).open(folder) if spec.opener is not None else None,  # noqa: S301 - the parent sent it
        )
        if self.context.hooks is not None:
            _start_plugins(self.context.hooks, facts, spec.run_id)

    def _catalog(self) -> Catalog:
        """Return the run's catalog, made when it is first used: many runs have in-memory datasets only.

        In a run of another framework, the strategy has that framework's catalog, and this catalog stays empty.
        """
        catalog = self._made_catalog
        if catalog is None:
            from treadle.io.catalog import Catalog, CatalogPart

            spec = self.spec
            kind = pickle.loads(spec.catalog_class) if spec.opener is None else Catalog  # noqa: S301 - the parent sent it
            catalog = kind.from_part(CatalogPart(spec.recipes, (), spec.save_version))
            if spec.parameters is not None:
                catalog.add_parameters(pickle.loads(spec.parameters))  # noqa: S301 - the parent sent it
            self._made_catalog = catalog
        return catalog

    def add_dataset(self, name: str, pickled: bytes, secrets: tuple[str, ...] = ()) -> None:
        """Add a dataset that was sent after the run had begun.

        Args:
            name: its name.
            pickled: a DatasetRecipe or the dataset, pickled; a packed dataset in a run of another framework.
            secrets: the values in it that must be masked.
        """
        register_secrets(secrets)
        if self.context.strategy is not None:
            self.context.strategy.add_dataset(name, pickled)
        else:
            self._pickled[name] = pickled

    def _node(self, index: int) -> Node:
        """Return a node, unpickled when it is first needed, with the datasets that were given as objects."""
        group, position = self.spec.node_at[index]
        nodes = self._groups.get(group)
        if nodes is None:
            nodes = self._groups[group] = self._unpickle(group)
        node = nodes[position]
        self._on_node(node.name)
        if self._pickled:
            for name in (*node.inputs, *node.outputs, *node.confirms):
                if name in self._pickled:
                    _add_dataset(self._catalog(), name, pickle.loads(self._pickled[name]))  # noqa: S301 - the parent sent it
                    del self._pickled[name]
        return node

    def _unpickle(self, group: int) -> tuple[Node, ...]:
        pickled = self.spec.node_groups[group]
        nodes: tuple[Node, ...] | None = next((known[pickled] for known in self._known if pickled in known), None)
        if nodes is None:
            with collection_paused():  # a group may have ten thousand nodes, all long-lived
                nodes = tuple(pickle.loads(pickled))  # noqa: S301 - the parent sent it
        if group in self.spec.lasting_groups:
            self._lasting[pickled] = nodes
        return nodes


# --- modules that only some runs need -------------------------------------------------------------------------------------


def _copy_modes(modes: tuple[tuple[int, str], ...]) -> dict[int, CopyMode]:
    from treadle.io.memory import CopyMode

    return {dataset: CopyMode(mode) for dataset, mode in modes}


def _hooks(payloads: tuple[HookPayload, ...]) -> pluggy.PluginManager | None:
    from treadle.execution.attempt.plugins import rebuild_hooks

    return rebuild_hooks(payloads)


def _start_plugins(manager: pluggy.PluginManager, facts: WorkerFacts, run_id: str) -> None:
    from treadle.execution.attempt.plugins import start_plugins

    start_plugins(manager, facts, run_id)


def _validators(spec: RunSpec) -> MemoryValidators | None:
    from treadle.execution.attempt.validators import memory_validators

    return memory_validators(spec.validators, spec.dataset_names)


def _shared_state(spec: RunSpec, folder: str | None) -> SharedState | None:
    if spec.watched is None:
        return None
    from treadle.execution.attempt.dataset_state import SharedState

    return SharedState(folder or spec.watched.folder, spec.watched.names)


def _add_dataset(catalog: Catalog, name: str, dataset: Any) -> None:
    from treadle.io.catalog import CatalogPart
    from treadle.io.recipe import DatasetRecipe

    if isinstance(dataset, DatasetRecipe):
        catalog.add_part(CatalogPart((dataset,)))
    else:
        catalog[name] = dataset
