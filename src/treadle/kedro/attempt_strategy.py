"""Run one Kedro node: load its inputs, call it and save its outputs, with Kedro's hooks in Kedro's order.

Runs in the process that runs the node. The engine passes in the inputs that are in memory and receives such outputs; every other
dataset is loaded and saved by Kedro's catalog. State: none besides the process's catalog.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
import pickle
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

from treadle.execution.attempt.context import Steps, Times
from treadle.execution.attempt.hooks import log_failed_error_hook
from treadle.execution.processes.safe_points import is_interrupt
from treadle.hooks import plugin_at_fault
from treadle.hooks.registered import CATALOG_HOOKS
from treadle.kedro.process_catalog import Unsaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import pluggy
    from kedro.pipeline.node import Node

    from treadle.kedro.nodes import KedroNode
    from treadle.kedro.plugin_state import PluginStateWriter
    from treadle.kedro.process_catalog import ProcessCatalog
    from treadle.pipeline import Node as TreadleNode
    from treadle.session.tracing import NodeTracing

_logger = logging.getLogger("kedro.runner.treadle")


class KedroAttemptStrategy:
    """Run Kedro nodes in this process; the engine calls it once per attempt.

    Args:
        catalog: the catalog of this process.
        hooks: Kedro's hook manager; None if there are no hooks.
        run_id: the run id that hooks receive.
        is_async: load inputs and save outputs in threads.
        interruptible: whether an interrupt ends the run (Ctrl-C, for example); otherwise it is the failure of the node.
        state_writer: writes the data that plugins collect in this process to a file; None in the main process.
        tracing: makes the span of a node the current one while its function runs; None if the run is not traced.
    """

    def __init__(
        self,
        catalog: ProcessCatalog,
        hooks: pluggy.PluginManager | None,
        *,
        run_id: str | None,
        is_async: bool,
        interruptible: bool = False,
        state_writer: PluginStateWriter | None = None,
        tracing: NodeTracing | None = None,
    ) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._run_id = run_id
        self._is_async = is_async
        self._interruptible = interruptible
        self._state_writer = state_writer
        self._tracing = tracing
        # A hook that receives the catalog may load the node's inputs from it, so the inputs stay there while the node runs.
        self._keep_inputs = any(self._has_hook(name) for name in CATALOG_HOOKS)

    def __call__(
        self,
        node: TreadleNode,
        _index: int,
        steps: Steps,
        load_value: Callable[[int], Any],
        store_value: Callable[[int, Any], None],
        /,
    ) -> Times:
        """Make one attempt at a node, and return how long each step took."""
        kedro = cast("KedroNode", node).kedro
        if self._is_async and inspect.isgeneratorfunction(kedro.func):
            msg = (
                f"Node '{kedro.name}' cannot run with --async (is_async=True): its function is a generator, and its chunks "
                "must be saved in order. Omit the option, or return the whole result instead of yielding chunks."
            )
            raise ValueError(msg)
        self._catalog.build_datasets((*kedro.inputs, *kedro.outputs, *kedro.confirms))
        try:
            return self._attempt(kedro, steps, load_value, store_value)
        finally:
            self._catalog.remove_values()
            if self._state_writer is not None:
                self._state_writer.write()

    def add_dataset(self, name: str, pickled: bytes, /) -> None:
        """Add a PackedDataset, pickled, that this worker did not receive with the run."""
        self._catalog.add_packed(name, pickle.loads(pickled))  # noqa: S301 - the parent sent it

    def _attempt(
        self, node: Node, steps: Steps, load_value: Callable[[int], Any], store_value: Callable[[int, Any], None]
    ) -> Times:
        clock = time.perf_counter
        start = clock()
        load = self._load_in_threads if self._is_async else self._load_in_turn
        inputs = load(node, steps, load_value)
        loaded = steps.loaded = clock()
        steps.phase, steps.dataset = "run", None
        inputs.update(self._replacements(node, inputs, steps))
        try:
            with self._span_of(node):
                outputs = node.run(inputs)
            steps.check_time()
        except BaseException as exc:  # sys.exit counts as a failure of the node too
            steps.end_if_forked(exc)
            self._report(node, inputs, exc)
            raise
        ran = steps.ran = clock()
        self._call_hooks(steps, "after_node_run", node=node, **self._hook_arguments(inputs), outputs=outputs)
        if outputs and inspect.isgeneratorfunction(node.func):
            with self._span_of(node):
                unsaved = self._save_chunks(node, inputs, outputs, steps, store_value)
        else:
            # Saving is the peak of memory use, so the inputs are released first, and each output once it is saved.
            # The hooks' own dictionaries are not modified, because a hook may have kept them.
            inputs, outputs = {}, dict(outputs)
            self._catalog.remove_values()
            unsaved = [name for name in node.outputs if name not in outputs]  # a hook removed them
            if self._is_async:
                self._save_in_threads(node, outputs, steps, store_value)
            for name in list(outputs):
                self._save(node, name, outputs.pop(name), steps, store_value)
        for name in self._catalog.transferred.keys() & unsaved:
            store_value(self._catalog.transferred[name], Unsaved.VALUE)
        for name in node.confirms:
            steps.phase, steps.dataset = "save", name
            self._catalog.kedro_catalog.confirm(name)
        ended = clock()
        return Times(steps.started, steps.started + ended - start, loaded - start, ran - loaded, ended - ran)

    def _span_of(self, node: Node) -> AbstractContextManager[None]:
        return nullcontext() if self._tracing is None else self._tracing.current(node.name)

    # --- inputs ------------------------------------------------------------------------------------------------------------

    def _load_in_turn(self, node: Node, steps: Steps, load_value: Callable[[int], Any]) -> dict[str, Any]:
        inputs = {}
        placed: set[str] = set()
        for name in node.inputs:
            steps.phase, steps.dataset = "load", name
            self._call_hooks(steps, "before_dataset_loaded", dataset_name=name, node=node)
            self._put_input(name, placed, load_value)
            inputs[name] = self._catalog.load(name)
            self._call_hooks(steps, "after_dataset_loaded", dataset_name=name, data=inputs[name], node=node)
        if not self._keep_inputs:
            self._catalog.remove_values()
        return inputs

    def _load_in_threads(self, node: Node, steps: Steps, load_value: Callable[[int], Any]) -> dict[str, Any]:
        steps.phase = "load"
        placed: set[str] = set()
        for name in node.inputs:
            self._put_input(name, placed, load_value)

        def load(name: str, own: Steps) -> Any:
            own.phase = "load"
            self._call_hooks(own, "before_dataset_loaded", dataset_name=name, node=node)
            data = self._catalog.load(name)
            self._call_hooks(own, "after_dataset_loaded", dataset_name=name, data=data, node=node)
            return data

        with ThreadPoolExecutor(thread_name_prefix="treadle-load") as pool:
            own = {name: Steps(steps.started, steps.process) for name in node.inputs}
            loading = {name: pool.submit(contextvars.copy_context().run, load, name, own[name]) for name in node.inputs}
            inputs = {}
            for name, future in loading.items():
                steps.dataset = name
                if future.exception() is not None:
                    steps.phase, steps.hook, steps.plugin = own[name].phase, own[name].hook, own[name].plugin
                inputs[name] = future.result()
        if not self._keep_inputs:
            self._catalog.remove_values()
        return inputs

    def _put_input(self, name: str, placed: set[str], load_value: Callable[[int], Any]) -> None:
        index = self._catalog.transferred.get(name)
        if index is not None and name not in placed:  # one input may be used for two parameters
            placed.add(name)
            self._catalog.put_input(name, load_value(index))

    def _replacements(self, node: Node, inputs: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
        """Call `before_node_run`, and return the inputs that its implementations replace."""
        replaced: dict[str, Any] = {}
        for replacements in self._call_hooks(steps, "before_node_run", node=node, **self._hook_arguments(dict(inputs))):
            if not isinstance(replacements, dict):
                msg = (
                    f"A before_node_run hook returned a {type(replacements).__name__} for node '{node.name}'; it must return a "
                    "dictionary of input names and their new values, or None."
                )
                raise TypeError(msg)
            replaced.update(replacements)
        return replaced

    # --- outputs -----------------------------------------------------------------------------------------------------------

    def _save_chunks(
        self,
        node: Node,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        steps: Steps,
        store_value: Callable[[int, Any], None],
    ) -> Iterable[str]:
        """Save the chunks of a generator node, and return the outputs without any."""
        contents, steps.contents = steps.contents, None  # recorded once, when the last chunk is saved
        unsaved = dict.fromkeys(node.outputs)
        for name, chunk in self._chunks(node, inputs, outputs, steps):
            self._save(node, name, chunk, steps, store_value)
            unsaved.pop(name, None)
        for name in unsaved:
            _logger.warning("Node '%s' is a generator that ended without yielding, so '%s' was not saved.", node.name, name)
        steps.contents = contents
        persistent = [name for name in outputs if name not in self._catalog.transferred]
        steps.record_contents(persistent, self._catalog.kedro_catalog.get)
        return unsaved

    def _save(self, node: Node, name: str, data: Any, steps: Steps, store_value: Callable[[int, Any], None]) -> None:
        steps.phase, steps.dataset = "save", name
        self._call_hooks(steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
        index = self._catalog.transferred.get(name)
        if index is None:
            self._save_dataset(name, data, steps)
        else:
            store_value(index, self._catalog.save(name, data))
        self._call_hooks(steps, "after_dataset_saved", dataset_name=name, data=data, node=node)

    def _save_dataset(self, name: str, data: Any, steps: Steps) -> None:
        catalog = self._catalog
        steps.save_output(name, lambda: catalog.kedro_catalog.get(name), lambda: catalog.save_dataset(name, data))

    def _save_in_threads(
        self, node: Node, outputs: dict[str, Any], steps: Steps, store_value: Callable[[int, Any], None]
    ) -> None:
        """Save persistent outputs in threads; meanwhile, pass the outputs in memory to the engine."""
        with ThreadPoolExecutor(thread_name_prefix="treadle-save") as pool:
            saving: dict[Future[None], str] = {}
            for name, data in outputs.items():
                if name not in self._catalog.transferred:
                    steps.phase, steps.dataset = "save", name
                    self._call_hooks(steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
                    saving[pool.submit(contextvars.copy_context().run, self._save_dataset, name, data, steps)] = name
            for name in [name for name in outputs if name in self._catalog.transferred]:
                self._save(node, name, outputs.pop(name), steps, store_value)
            for future in as_completed(saving):
                steps.phase, steps.dataset = "save", saving[future]
                future.result()
                data = outputs.pop(saving[future])
                self._call_hooks(steps, "after_dataset_saved", dataset_name=saving[future], data=data, node=node)

    def _chunks(
        self, node: Node, inputs: Mapping[str, Any], outputs: Mapping[str, Any], steps: Steps
    ) -> Iterator[tuple[str, Any]]:
        """Yield one chunk for each output of a generator node in turn, until one of the outputs has no further chunk.

        What the others have in that last round is not saved, as under Kedro's own runners.
        """
        rounds = zip(*outputs.values(), strict=False)
        while True:
            steps.phase, steps.dataset = "run", None
            try:
                chunks = dict(zip(outputs, next(rounds), strict=True))
                steps.check_time()
            except StopIteration:
                return
            except BaseException as exc:  # the function's own code runs here
                steps.end_if_forked(exc)
                self._report(node, inputs, exc)
                raise
            for name in outputs:
                yield name, chunks.pop(name)

    # --- hooks -------------------------------------------------------------------------------------------------------------

    def _hook_arguments(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"catalog": self._catalog.kedro_catalog, "inputs": inputs, "is_async": self._is_async, "run_id": self._run_id}

    def _has_hook(self, name: str) -> bool:
        return self._hooks is not None and bool(getattr(self._hooks.hook, name).get_hookimpls())

    def _call(self, name: str, **arguments: Any) -> list[Any]:
        if self._hooks is None or not self._has_hook(name):
            return []
        results: list[Any] = getattr(self._hooks.hook, name)(**arguments)
        return results

    def _call_hooks(self, steps: Steps, name: str, **arguments: Any) -> list[Any]:
        if not self._has_hook(name):
            return []
        phase, steps.phase, steps.hook = steps.phase, "hook", name
        try:
            results = self._call(name, **arguments)
        except BaseException as exc:  # re-raised; includes an exit that a plugin requested
            steps.plugin = plugin_at_fault(self._hooks, name, exc) if self._hooks is not None else None
            raise
        steps.phase = phase
        return results

    def _report(self, node: Node, inputs: Mapping[str, Any], exc: BaseException) -> None:
        """Call `on_node_error`; an exception of the hook itself is logged, and the node's error is raised."""
        if self._is_interrupt(exc):
            return
        try:
            self._call("on_node_error", error=exc, node=node, **self._hook_arguments(inputs))
        except BaseException as broken:  # even an exit in the hook must not hide the node's failure
            if self._is_interrupt(broken):
                raise
            log_failed_error_hook(_logger, self._hooks, "on_node_error", broken, f"node '{node.name}'")

    def _is_interrupt(self, exc: BaseException) -> bool:
        return self._interruptible and is_interrupt(exc)
