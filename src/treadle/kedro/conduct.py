"""One attempt at a Kedro node: its steps with Kedro's catalog, Kedro's hooks and Kedro's order.

The engine supplies and receives the values in memory; everything else is done by the node's own `run` and the catalog's own
`load` and `save`. State: only that of the desk.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, cast

from treadle.execution.attempt.context import Steps, Times
from treadle.execution.attempt.failure import format_user_traceback
from treadle.hooks import plugin_at_fault
from treadle.kedro.hooks import CATALOG_HOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy
    from kedro.pipeline.node import Node

    from treadle.kedro.desk import Desk
    from treadle.kedro.gathering import Gatherer
    from treadle.kedro.nodes import KedroNode
    from treadle.pipeline import Node as TreadleNode

_logger = logging.getLogger("kedro.runner.treadle")


class KedroConduct:
    """Run nodes step by step in this process.

    Args:
        desk: the catalog of this process.
        hooks: Kedro's hook manager; None if there are no hooks.
        run_id: the run id that hooks receive.
        is_async: load inputs and save outputs in threads.
        interruptible: whether a KeyboardInterrupt is the user's Ctrl-C, rather than raised by the node's own code.
        gatherer: stores the data that plugins collect in this process; None in the main process.
    """

    def __init__(
        self,
        desk: Desk,
        hooks: pluggy.PluginManager | None,
        *,
        run_id: str | None,
        is_async: bool,
        interruptible: bool = False,
        gatherer: Gatherer | None = None,
    ) -> None:
        self._desk = desk
        self._hooks = hooks
        self._run_id = run_id
        self._is_async = is_async
        self._interruptible = interruptible
        self._gatherer = gatherer
        # A hook that receives the catalog may load the node's inputs from it, so they stay there while the node runs.
        self._keep_inputs = any(self._has(name) for name in CATALOG_HOOKS)

    def __call__(
        self, node: TreadleNode, _index: int, steps: Steps, take: Callable[[int], Any], give: Callable[[int, Any], None], /
    ) -> Times:
        """Run one node once."""
        kedro = cast("KedroNode", node).kedro
        if self._is_async and inspect.isgeneratorfunction(kedro.func):
            msg = (
                f"Node '{kedro.name}' has a generator function, whose chunks are saved in order, so it cannot run "
                "with --async (is_async=True). Omit that option, or return the whole result."
            )
            raise ValueError(msg)
        self._desk.ready((*kedro.inputs, *kedro.outputs, *kedro.confirms))
        try:
            return self._attempt(kedro, steps, take, give)
        finally:
            self._desk.clear_all()
            if self._gatherer is not None:
                self._gatherer.write()

    def _attempt(self, node: Node, steps: Steps, take: Callable[[int], Any], give: Callable[[int, Any], None]) -> Times:
        clock = time.perf_counter
        begun = clock()
        load = self._load_in_threads if self._is_async else self._load_in_turn
        inputs = load(node, steps, take)
        loaded = clock()
        steps.phase, steps.dataset = "run", None
        inputs.update(self._replacements(node, inputs, steps))
        try:
            outputs = node.run(inputs)
            steps.check_time()
        except BaseException as exc:  # sys.exit is a failure of the node too, and its hook is called
            steps.end_if_forked(exc)
            self._report(node, inputs, exc)
            raise
        ran = clock()
        self._tell(steps, "after_node_run", node=node, **self._around(inputs), outputs=outputs)
        if outputs and inspect.isgeneratorfunction(node.func):
            for name, chunk in self._chunks(node, inputs, outputs, steps):
                self._save(node, name, chunk, steps, give)
        else:
            # Memory use peaks while the outputs are saved, so the inputs are dropped first and each output once it is saved.
            # A hook may have kept the mappings that it received, so these are not modified.
            inputs, outputs = {}, dict(outputs)
            self._desk.clear_all()
            if self._is_async:
                self._save_in_threads(node, outputs, steps, give)
            for name in list(outputs):
                self._save(node, name, outputs.pop(name), steps, give)
        for name in node.confirms:
            steps.phase, steps.dataset = "save", name
            self._desk.catalog.confirm(name)
        ended = clock()
        return Times(steps.started, steps.started + ended - begun, loaded - begun, ran - loaded, ended - ran)

    # --- inputs ------------------------------------------------------------------------------------------------------------

    def _load_in_turn(self, node: Node, steps: Steps, take: Callable[[int], Any]) -> dict[str, Any]:
        inputs = {}
        laid: set[str] = set()
        for name in node.inputs:
            steps.phase, steps.dataset = "load", name
            self._tell(steps, "before_dataset_loaded", dataset_name=name, node=node)
            self._lay(name, laid, take)
            inputs[name] = self._desk.load(name)
            self._tell(steps, "after_dataset_loaded", dataset_name=name, data=inputs[name], node=node)
        if not self._keep_inputs:
            self._desk.clear_all()
        return inputs

    def _load_in_threads(self, node: Node, steps: Steps, take: Callable[[int], Any]) -> dict[str, Any]:
        steps.phase = "load"
        laid: set[str] = set()
        for name in node.inputs:
            self._lay(name, laid, take)

        def load(name: str, own: Steps) -> Any:
            own.phase = "load"
            self._tell(own, "before_dataset_loaded", dataset_name=name, node=node)
            data = self._desk.load(name)
            self._tell(own, "after_dataset_loaded", dataset_name=name, data=data, node=node)
            return data

        with ThreadPoolExecutor(thread_name_prefix="treadle-load") as pool:
            own = {name: Steps(steps.started) for name in node.inputs}
            loading = {name: pool.submit(contextvars.copy_context().run, load, name, own[name]) for name in node.inputs}
            inputs = {}
            for name, future in loading.items():
                steps.dataset = name
                if future.exception() is not None:
                    steps.phase, steps.hook, steps.plugin = own[name].phase, own[name].hook, own[name].plugin
                inputs[name] = future.result()
        if not self._keep_inputs:
            self._desk.clear_all()
        return inputs

    def _lay(self, name: str, laid: set[str], take: Callable[[int], Any]) -> None:
        index = self._desk.carried.get(name)
        if index is not None and name not in laid:  # one input may be used for two parameters
            laid.add(name)
            self._desk.lay(name, take(index))

    def _replacements(self, node: Node, inputs: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
        """Let `before_node_run` replace inputs."""
        replaced: dict[str, Any] = {}
        for answer in self._tell(steps, "before_node_run", node=node, **self._around(dict(inputs))):
            if not isinstance(answer, dict):
                msg = (
                    f"A before_node_run hook returned a {type(answer).__name__} for node '{node.name}'; it must return a "
                    "dictionary of input names and their new values, or None."
                )
                raise TypeError(msg)
            replaced.update(answer)
        return replaced

    # --- outputs -----------------------------------------------------------------------------------------------------------

    def _save(self, node: Node, name: str, data: Any, steps: Steps, give: Callable[[int, Any], None]) -> None:
        steps.phase, steps.dataset = "save", name
        self._tell(steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
        index = self._desk.carried.get(name)
        if index is None:
            self._desk.persist(name, data)
        else:
            give(index, self._desk.save(name, data))
        self._tell(steps, "after_dataset_saved", dataset_name=name, data=data, node=node)

    def _save_in_threads(self, node: Node, outputs: dict[str, Any], steps: Steps, give: Callable[[int, Any], None]) -> None:
        """Save persistent outputs in threads; values that the engine transfers are handed over meanwhile."""
        with ThreadPoolExecutor(thread_name_prefix="treadle-save") as pool:
            saving: dict[Future[None], str] = {}
            for name, data in outputs.items():
                if name not in self._desk.carried:
                    steps.phase, steps.dataset = "save", name
                    self._tell(steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
                    saving[pool.submit(contextvars.copy_context().run, self._desk.persist, name, data)] = name
            for name in [name for name in outputs if name in self._desk.carried]:
                self._save(node, name, outputs.pop(name), steps, give)
            for future in as_completed(saving):
                steps.phase, steps.dataset = "save", saving[future]
                future.result()
                data = outputs.pop(saving[future])
                self._tell(steps, "after_dataset_saved", dataset_name=saving[future], data=data, node=node)

    def _chunks(
        self, node: Node, inputs: Mapping[str, Any], outputs: Mapping[str, Any], steps: Steps
    ) -> Iterator[tuple[str, Any]]:
        """Draw from the streams of a generator node in turn, until the first of them ends."""
        streams = {name: iter(stream) for name, stream in outputs.items()}
        while True:
            for name, stream in streams.items():
                steps.phase, steps.dataset = "run", None
                try:
                    chunk = next(stream)
                    steps.check_time()
                except StopIteration:
                    return
                except BaseException as exc:  # the function's own code runs here
                    steps.end_if_forked(exc)
                    self._report(node, inputs, exc)
                    raise
                yield name, chunk

    # --- hooks -------------------------------------------------------------------------------------------------------------

    def _around(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"catalog": self._desk.catalog, "inputs": inputs, "is_async": self._is_async, "run_id": self._run_id}

    def _has(self, name: str) -> bool:
        return self._hooks is not None and bool(getattr(self._hooks.hook, name).get_hookimpls())

    def _call(self, name: str, **arguments: Any) -> list[Any]:
        if self._hooks is None or not self._has(name):
            return []
        answers: list[Any] = getattr(self._hooks.hook, name)(**arguments)
        return answers

    def _tell(self, steps: Steps, name: str, **arguments: Any) -> list[Any]:
        if not self._has(name):
            return []
        phase, steps.phase, steps.hook = steps.phase, "hook", name
        try:
            answers = self._call(name, **arguments)
        except BaseException as exc:  # re-raised; an exit was requested by a plugin too
            steps.plugin = plugin_at_fault(self._hooks, name, exc) if self._hooks is not None else None
            raise
        steps.phase = phase
        return answers

    def _report(self, node: Node, inputs: Mapping[str, Any], exc: BaseException) -> None:
        """Call `on_node_error`; an exception of the hook itself is logged, and the node's error is raised."""
        if self._is_interrupt(exc):
            return
        try:
            self._call("on_node_error", error=exc, node=node, **self._around(inputs))
        except BaseException as broken:  # an exit in the hook must not hide the node's failure
            if self._is_interrupt(broken):
                raise
            plugin = plugin_at_fault(self._hooks, "on_node_error", broken) if self._hooks is not None else None
            text = format_user_traceback(broken)
            _logger.error("The on_node_error hook of %s itself failed for node '%s'\n%s", plugin or "a plugin", node.name, text)  # noqa: TRY400

    def _is_interrupt(self, exc: BaseException) -> bool:
        return self._interruptible and isinstance(exc, KeyboardInterrupt)
