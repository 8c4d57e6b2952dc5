"""One attempt at one node: load its inputs, call it, save its outputs, with its hooks around each step.

The same code runs in the main process, in threads and in worker processes; what differs is where in-memory values come
from and go to, and that is the caller's `take` and `give`. State: none.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from treadle.errors import DatasetError, HookError, NodeTimeoutError, TreadleError
from treadle.execution.exchange import snapshot
from treadle.execution.failure import format_user_traceback, record_failure
from treadle.execution.verdict import describe_timeout
from treadle.hooks import implemented, plugin_at_fault, plugin_that_answered
from treadle.pipeline.typed import typed_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pluggy

    from treadle.events import Failure
    from treadle.io import Catalog
    from treadle.io.memory import CopyMode
    from treadle.pipeline import Node

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RunScope:
    """What a process has of a run: enough to attempt any of its nodes by index."""

    run_id: str
    node: Callable[[int], Node]
    inputs: Sequence[Sequence[int]]
    outputs: Sequence[Sequence[int]]
    dataset_names: Sequence[str]
    in_memory: Sequence[bool]
    copy_mode: Callable[[int], CopyMode | None]
    catalog: Catalog
    hooks: pluggy.PluginManager | None
    interruptible: bool = False
    """True where a KeyboardInterrupt is the user's Ctrl-C, and not something that the node's own code raised."""
    is_async: bool = False
    """True where a node's inputs are loaded, and its outputs saved, at the same time, by threads."""
    conduct: Conduct | None = None
    """How another framework takes a node through its steps, hooks included; None is Treadle's own way."""
    timeouts: Mapping[int, float] = field(default_factory=dict)
    """Seconds that an attempt may take, by index of the nodes that have such a limit."""


class Times(NamedTuple):
    """When an attempt began and ended (seconds since the epoch), and how long each part took (seconds)."""

    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float


class AttemptFailedError(Exception):
    """An attempt failed; carries the record and the exception itself, for callers in the same process."""

    def __init__(self, failure: Failure, started: float, original: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.started = started
        self.original = original


class Steps:
    """What an attempt is doing, for its failure record, and when it began (seconds since the epoch)."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.phase = "setup"
        self.dataset: str | None = None
        self.hook: str | None = None
        """The hook that was called last: where the phase is `hook`, the one that is being called."""
        self.plugin: str | None = None
        """The plugin that raised out of it, where the one who called knows."""
        self.inputs: dict[str, Any] = {}
        self._limit: tuple[str, float, float] | None = None

    def limit_time(self, node: str, seconds: float) -> None:
        """The attempt may take so many seconds from now on."""
        self._limit = (node, seconds, time.perf_counter())

    def check_time(self) -> None:
        """Fail the attempt where it has taken too long: asked before anything is saved, so that nothing late is.

        Raises:
            NodeTimeoutError: it has.
        """
        if self._limit is None:
            return
        node, limit, begun = self._limit
        elapsed = time.perf_counter() - begun
        if elapsed > limit:
            self.phase, self.dataset = "timeout", None
            raise NodeTimeoutError(describe_timeout(node, limit, elapsed), node=node, timeout=limit, elapsed=elapsed)


class Conduct(Protocol):
    """The steps of one attempt, as another framework takes them."""

    def __call__(  # noqa: D102 - the class says it
        self, node: Node, index: int, steps: Steps, take: Callable[[int], Any], give: Callable[[int, Any], None], /
    ) -> Times: ...


class RunOpener(Protocol):
    """Makes, in a worker, what it needs of another framework's run; it crosses pickled."""

    def open(self) -> Conduct:
        """Return how the run's nodes are taken through their steps in this process."""


def attempt_node(scope: RunScope, index: int, *, take: Callable[[int], Any], give: Callable[[int, Any], None]) -> Times:
    """Run one node once.

    Args:
        scope: the run.
        index: plan index of the node.
        take: returns the value of an in-memory dataset, by index.
        give: takes the value of an in-memory output, by index.

    Returns:
        The times.

    Raises:
        AttemptFailedError: anything went wrong: the function, a dataset, a hook, an exit.
        KeyboardInterrupt: the user's, where the scope is interruptible.
    """
    started = time.time()
    steps = Steps(started)
    node: Node | None = None
    try:
        node = scope.node(index)
        if index in scope.timeouts:
            steps.limit_time(node.name, scope.timeouts[index])
        if scope.conduct is not None:
            times = scope.conduct(node, index, steps, take, give)
            steps.check_time()
            return times
        return _attempt(scope, index, node, steps, started, take, give)
    except BaseException as exc:  # the worker's edge: SystemExit, or anything a library raises, is the node's failure
        if scope.interruptible and isinstance(exc, KeyboardInterrupt):
            raise
        failure = record_failure(exc, phase=steps.phase, dataset=steps.dataset, **_hook_at_fault(scope, steps, exc))
        if node is not None and scope.conduct is None:
            _report_error(scope, node, steps, exc)
        raise AttemptFailedError(failure, started, exc) from exc


def _attempt(
    scope: RunScope,
    index: int,
    node: Node,
    steps: Steps,
    started: float,
    take: Callable[[int], Any],
    give: Callable[[int, Any], None],
) -> Times:
    clock = time.perf_counter
    begun = clock()

    hooked = scope.hooks is not None  # asked once: most of what a tiny node costs would be calls that find no hook

    def load(dataset: int, own: Steps) -> None:
        name = scope.dataset_names[dataset]
        own.phase, own.dataset = "load", name
        if hooked:
            _call_hook(scope, own, "before_dataset_loaded", dataset_name=name, node=node)
        data = take(dataset) if scope.in_memory[dataset] else _load(scope, name, node)
        if hooked:
            _call_hook(scope, own, "after_dataset_loaded", dataset_name=name, data=data, node=node)
        steps.inputs[name] = data

    wanted = scope.inputs[index]
    if wanted:
        _together(scope, steps, load, wanted)
    if scope.is_async:  # in the order of the node's inputs, whichever came first
        steps.inputs = {name: steps.inputs[name] for name in [scope.dataset_names[dataset] for dataset in wanted]}
    steps.dataset = None
    loaded = clock()
    inputs = typed_inputs(node, _override_inputs(scope, steps, node) if hooked else steps.inputs)
    steps.phase = "run"
    returned = node.call(inputs)
    if node.streams(returned):
        saving = _save_chunks(scope, index, node, inputs, returned, steps, give)
        done = clock()
        return Times(started, time.time(), loaded - begun, done - loaded - saving, saving)
    outputs = dict(node.unpack(returned))
    steps.check_time()
    del returned
    ran = clock()
    if hooked:
        _call_hook(scope, steps, "after_node_run", **_node_arguments(scope, node, inputs), outputs=outputs)
    # The inputs are let go before the outputs are saved: that is when memory is at its peak.
    inputs = {}
    steps.inputs = {}

    def store(name: str, own: Steps) -> None:
        save(name, outputs.pop(name), own)

    if outputs:
        save = _Saver(scope, index, node, give)
        _together(scope, steps, store, tuple(outputs))
    _confirm(scope, steps, node)
    done = clock()
    return Times(started, time.time(), loaded - begun, ran - loaded, done - ran)


def _save_chunks(
    scope: RunScope,
    index: int,
    node: Node,
    inputs: Mapping[str, Any],
    returned: Any,
    steps: Steps,
    give: Callable[[int, Any], None],
) -> float:
    """Save what a generator yields, chunk by chunk; return the seconds that the saving took."""
    # What a generator does with a chunk after it has yielded it is not seen.
    save = _Saver(scope, index, node, lambda dataset, chunk: give(dataset, snapshot(chunk, scope.copy_mode(dataset))))
    outputs: dict[str, Any] = {}
    saving = 0.0
    for name, chunk in node.unpack(returned):
        before = time.perf_counter()
        steps.check_time()
        save(name, chunk, steps)
        saving += time.perf_counter() - before
        steps.phase, steps.dataset = "run", None
        outputs[name] = chunk
    _call_hook(scope, steps, "after_node_run", **_node_arguments(scope, node, inputs), outputs=outputs)
    _confirm(scope, steps, node)
    return saving


def _together(scope: RunScope, steps: Steps, do: Callable[[_T, Steps], None], things: Sequence[_T]) -> None:
    """Load a node's inputs, or save its outputs: one by one, or, where the run is asynchronous, each in a thread."""
    if not scope.is_async or len(things) < 2:
        for thing in things:
            do(thing, steps)
        return
    own = [Steps(steps.started) for _ in things]
    with ThreadPoolExecutor(len(things), thread_name_prefix="treadle-async") as threads:
        done = [threads.submit(copy_context().run, do, thing, each) for thing, each in zip(things, own, strict=True)]
    for each, future in zip(own, done, strict=True):
        error = future.exception()
        if error is not None:
            steps.phase, steps.dataset, steps.hook = each.phase, each.dataset, each.hook
            raise error


def _confirm(scope: RunScope, steps: Steps, node: Node) -> None:
    """Tell the datasets that the node confirms; what lives in memory has nothing to confirm."""
    for name in node.confirms:
        if name in scope.catalog and not scope.catalog.capabilities(name).in_memory:
            steps.phase, steps.dataset = "confirm", name
            try:
                scope.catalog.confirm(name)
            except TreadleError as exc:
                _name_node(exc, node)
                raise


class _Saver:
    """Saves one output, with its hooks."""

    def __init__(self, scope: RunScope, index: int, node: Node, give: Callable[[int, Any], None]) -> None:
        self._scope, self._node, self._give = scope, node, give
        self._index_of = {scope.dataset_names[dataset]: dataset for dataset in scope.outputs[index]}

    def __call__(self, name: str, data: Any, steps: Steps) -> None:
        scope, node = self._scope, self._node
        steps.phase, steps.dataset = "save", name
        dataset = self._index_of[name]
        if data is None:
            msg = (
                f"Node '{node.name}' returned None for dataset '{name}', and None cannot be saved. Probably its function "
                "lacks a return statement; a node without outputs is declared with outputs=None."
            )
            raise DatasetError(msg, dataset=name, node=node.name)
        hooked = scope.hooks is not None
        if hooked:
            _call_hook(scope, steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
        if scope.in_memory[dataset]:
            self._give(dataset, data)
        else:
            try:
                scope.catalog.save(name, data)
            except TreadleError as exc:
                _name_node(exc, node)
                raise
        if hooked:
            _call_hook(scope, steps, "after_dataset_saved", dataset_name=name, data=data, node=node)


def _load(scope: RunScope, name: str, node: Node) -> Any:
    try:
        return scope.catalog.load(name)
    except TreadleError as exc:
        _name_node(exc, node)
        raise


def _name_node(exc: TreadleError, node: Node) -> None:
    if isinstance(exc, DatasetError) and exc.node is None:
        exc.node = node.name


def _node_arguments(scope: RunScope, node: Node, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"node": node, "catalog": scope.catalog, "inputs": inputs, "is_async": scope.is_async, "run_id": scope.run_id}


def _override_inputs(scope: RunScope, steps: Steps, node: Node) -> dict[str, Any]:
    """Let `before_node_run` replace inputs, as the dictionaries it returns say."""
    inputs = steps.inputs
    answers = _call_hook(scope, steps, "before_node_run", **_node_arguments(scope, node, inputs))
    phase, steps.phase = steps.phase, "hook"  # what it answered may be wrong
    for position, answer in enumerate(answers):
        if not isinstance(answer, dict):
            msg = (
                f"A before_node_run hook returned {type(answer).__name__} for node '{node.name}'. It may return a dictionary "
                "of input dataset names and their new values, or None."
            )
            raise _wrong_answer(scope, msg, position, len(answers))
        unknown = sorted(set(answer) - set(node.inputs))
        if unknown:
            msg = (
                f"A before_node_run hook returned a value for '{unknown[0]}', which is no input of node '{node.name}'; "
                f"its inputs are {', '.join(node.inputs) or 'none'}."
            )
            raise _wrong_answer(scope, msg, position, len(answers))
        inputs = {**inputs, **answer}
    steps.phase = phase
    return inputs


def _wrong_answer(scope: RunScope, message: str, position: int, answers: int) -> HookError:
    name = "before_node_run"
    plugin = plugin_that_answered(scope.hooks, name, position, answers) if scope.hooks is not None else None
    return HookError(message, hook=name, plugin=plugin)


def _hook_at_fault(scope: RunScope, steps: Steps, exc: BaseException) -> dict[str, str | None]:
    """Return which hook of which plugin raised an error, where a hook did."""
    if steps.phase != "hook" or steps.hook is None:
        return {}
    plugin = steps.plugin or (exc.plugin if isinstance(exc, HookError) else None)
    if plugin is None and scope.hooks is not None:
        plugin = plugin_at_fault(scope.hooks, steps.hook, exc)
    return {"hook": steps.hook, "plugin": plugin}


def _call_hook(scope: RunScope, steps: Steps, name: str, **arguments: Any) -> list[Any]:
    if scope.hooks is None or not implemented(scope.hooks, name):
        return []
    phase, steps.phase, steps.hook = steps.phase, "hook", name
    answers: list[Any] = getattr(scope.hooks.hook, name)(**arguments)
    steps.phase = phase
    return answers


def _report_error(scope: RunScope, node: Node, steps: Steps, exc: BaseException) -> None:
    try:
        _call_hook(scope, steps, "on_node_error", error=exc, **_node_arguments(scope, node, steps.inputs))
    except BaseException as broken:  # the node's own failure is what the caller must see; the hook's, an exit too, is logged
        if scope.interruptible and isinstance(broken, KeyboardInterrupt):
            raise
        plugin = plugin_at_fault(scope.hooks, "on_node_error", broken) if scope.hooks is not None else None
        told = format_user_traceback(broken)
        _logger.error("The on_node_error hook of %s itself failed for node '%s'\n%s", plugin or "a plugin", node.name, told)  # noqa: TRY400 - without our frames
