"""One attempt at one node: load its inputs, call it, save its outputs, with its hooks around each step.

The same code runs in the main process, in threads and in worker processes; what differs is where in-memory values come
from and go to, and that is the caller's `take` and `give`. State: none. Neighbours: `scope.py` has what it goes by,
`node_hooks.py` calls the hooks.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar, cast

from treadle.errors import DatasetError, TreadleError
from treadle.execution.attempt.context import Steps, Times
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.hooks import call_hook, hook_at_fault, node_arguments, override_inputs, report_error
from treadle.execution.attempt.seeding import seeded
from treadle.execution.values.transfer import snapshot
from treadle.pipeline.typed import typed_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.events import Failure
    from treadle.execution.attempt.context import AttemptStrategy, RunContext
    from treadle.pipeline import Node

_T = TypeVar("_T")


class AttemptFailedError(Exception):
    """An attempt failed; carries the record and the exception itself, for callers in the same process."""

    def __init__(self, failure: Failure, started: float, at: float, original: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.started = started
        self.at = at
        self.original = original


def attempt_node(scope: RunContext, index: int, *, take: Callable[[int], Any], give: Callable[[int, Any], None]) -> Times:
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
    # The wall clock may be set meanwhile: it says when the attempt began, and the other clock how long everything took.
    started, begun = time.time(), time.perf_counter()
    steps = Steps(started)
    node: Node | None = None
    try:
        node = scope.node(index)
        steps.node = node.name
        if index in scope.timeouts:
            steps.limit_time(node.name, scope.timeouts[index])
        conduct = _attempt if scope.conduct is None else _foreign_attempt
        if scope.seeds is not None and (seed := scope.seeds.of(index)) is not None:
            with seeded(seed, node.name):
                return conduct(scope, index, node, steps, take, give)
        return conduct(scope, index, node, steps, take, give)
    except BaseException as exc:  # the worker's edge: SystemExit, or anything a library raises, is the node's failure
        steps.end_if_forked(exc)
        if scope.interruptible and isinstance(exc, KeyboardInterrupt):
            raise
        failure = record_failure(exc, phase=steps.phase, dataset=steps.dataset, **hook_at_fault(scope, steps, exc))
        if node is not None and scope.conduct is None:
            report_error(scope, node, steps, exc)
        raise AttemptFailedError(failure, started, started + time.perf_counter() - begun, exc) from exc


def _attempt(
    scope: RunContext,
    index: int,
    node: Node,
    steps: Steps,
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
            call_hook(scope, own, "before_dataset_loaded", dataset_name=name, node=node)
        data = take(dataset) if scope.in_memory[dataset] else _load(scope, name, node)
        if hooked:
            call_hook(scope, own, "after_dataset_loaded", dataset_name=name, data=data, node=node)
        steps.inputs[name] = data

    wanted = scope.inputs[index]
    if wanted:
        _together(scope, steps, load, wanted)
    if scope.is_async:  # in the order of the node's inputs, whichever came first
        steps.inputs = {name: steps.inputs[name] for name in [scope.dataset_names[dataset] for dataset in wanted]}
    steps.dataset = None
    loaded = clock()
    inputs = typed_inputs(node, override_inputs(scope, steps, node) if hooked else steps.inputs)
    steps.phase = "run"
    returned = node.call(inputs)
    if node.streams(returned):
        saving = _save_chunks(scope, index, node, inputs, returned, steps, give)
        done = clock()
        return Times(steps.started, steps.started + done - begun, loaded - begun, done - loaded - saving, saving)
    outputs = dict(node.unpack(returned))
    steps.check_time()
    del returned
    ran = clock()
    if hooked:
        call_hook(scope, steps, "after_node_run", **node_arguments(scope, node, inputs), outputs=outputs)
        outputs = dict(outputs)  # a hook may keep the mapping it was given, and each output is dropped once it is saved
    # Memory peaks while the outputs are saved, so the inputs are dropped first.
    inputs = {}
    steps.inputs = {}

    def store(name: str, own: Steps) -> None:
        save(name, outputs.pop(name), own)

    if outputs:
        save = _Saver(scope, index, node, give)
        _together(scope, steps, store, tuple(outputs))
    _confirm(scope, steps, node)
    done = clock()
    return Times(steps.started, steps.started + done - begun, loaded - begun, ran - loaded, done - ran)


def _foreign_attempt(
    scope: RunContext,
    index: int,
    node: Node,
    steps: Steps,
    take: Callable[[int], Any],
    give: Callable[[int, Any], None],
) -> Times:
    """Take a node through its steps as another framework does."""
    times = cast("AttemptStrategy", scope.conduct)(node, index, steps, take, give)
    steps.check_time()
    return times


def _save_chunks(
    scope: RunContext,
    index: int,
    node: Node,
    inputs: Mapping[str, Any],
    returned: Any,
    steps: Steps,
    give: Callable[[int, Any], None],
) -> float:
    """Save what a generator yields, chunk by chunk; return the seconds that the saving took."""
    outputs: dict[str, Any] = {}
    saving = 0.0
    with ExitStack() as files:  # those that are appended to change when all has gone well
        # What a generator does with a chunk after it has yielded it is not seen.
        save = _Saver(scope, index, node, lambda dataset, chunk: give(dataset, snapshot(chunk, scope.copy_mode(dataset))), files)
        for name, chunk in node.unpack(returned):
            before = time.perf_counter()
            steps.check_time()
            save(name, chunk, steps)
            saving += time.perf_counter() - before
            steps.phase, steps.dataset = "run", None
            outputs[name] = chunk
        call_hook(scope, steps, "after_node_run", **node_arguments(scope, node, inputs), outputs=outputs)
        steps.check_time()
        before = time.perf_counter()
        steps.phase = "save"
    save.give_identities()
    _confirm(scope, steps, node)
    return saving + time.perf_counter() - before


def _together(scope: RunContext, steps: Steps, do: Callable[[_T, Steps], None], things: Sequence[_T]) -> None:
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


def _confirm(scope: RunContext, steps: Steps, node: Node) -> None:
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
    """Saves the outputs of a node, with their hooks.

    Args:
        scope: the run.
        index: plan index of the node.
        node: the node.
        give: takes the value of an in-memory output.
        files: for a node that yields chunks: files that are appended to are opened once, and closed with this stack.
    """

    def __init__(
        self, scope: RunContext, index: int, node: Node, give: Callable[[int, Any], None], files: ExitStack | None = None
    ) -> None:
        self._scope, self._node, self._give, self._files = scope, node, give, files
        self._save_chunk: dict[str, Callable[[Any], None]] = {}
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
            call_hook(scope, steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
        if scope.in_memory[dataset]:
            self._give(dataset, data)
        else:
            state = scope.state if scope.state is not None and name in scope.state.names else None
            try:
                if state is not None:
                    state.before_save(name, scope.catalog[name])
                if self._files is None:
                    scope.catalog.save(name, data)
                    self._give_identity(name, dataset)
                else:
                    self._append(name, data, self._files)
                if state is not None:
                    state.after_save(name, scope.catalog[name])
            except TreadleError as exc:
                _name_node(exc, node)
                raise
        if hooked:
            call_hook(scope, steps, "after_dataset_saved", dataset_name=name, data=data, node=node)

    def _append(self, name: str, chunk: Any, files: ExitStack) -> None:
        if name not in self._save_chunk:
            self._save_chunk[name] = files.enter_context(self._scope.catalog.appending(name))
        self._save_chunk[name](chunk)

    def give_identities(self) -> None:
        """Hand over the results that are files and were saved in chunks, now that they are whole."""
        for name in self._save_chunk:
            self._give_identity(name, self._index_of[name])

    def _give_identity(self, name: str, dataset: int) -> None:
        """Hand over a result that is a file as its identity."""
        scope = self._scope
        if scope.is_result and scope.is_result[dataset]:
            self._give(dataset, scope.catalog.file_identity(name))


def _load(scope: RunContext, name: str, node: Node) -> Any:
    state = scope.state if scope.state is not None and name in scope.state.names else None
    try:
        if state is not None:
            state.refresh(name, lambda: scope.catalog[name])
        return scope.catalog.load(name)
    except TreadleError as exc:
        if state is not None:
            state.explain(name, exc)
        _name_node(exc, node)
        raise


def _name_node(exc: TreadleError, node: Node) -> None:
    if isinstance(exc, DatasetError) and exc.node is None:
        exc.node = node.name
