"""One attempt at one node: load its inputs, call its function, save its outputs, and call the hooks around each step.

The same code runs in the main process, in threads and in worker processes. In-memory values are read and stored through the
caller's `load_input` and `store_output`. State: none. Neighbours: `context.py` defines what an attempt knows of its run,
`hooks.py` calls the hooks.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from treadle.errors import DatasetError, TreadleError
from treadle.execution.attempt.context import Steps, Times
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.hooks import call_hook, hook_at_fault, node_arguments, override_inputs, report_error
from treadle.execution.attempt.seeding import seeded
from treadle.execution.values.transfer import snapshot
from treadle.named_tuple import new_record
from treadle.pipeline.typed import typed_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.events import Failure
    from treadle.execution.attempt.context import AttemptStrategy, RunContext
    from treadle.pipeline import Node

_T = TypeVar("_T")


class AttemptFailedError(Exception):
    """An attempt failed; carries the failure record, and the exception itself for callers in the same process."""

    def __init__(self, failure: Failure, started: float, at: float, original: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.started = started
        self.at = at
        self.original = original


def attempt_node(
    context: RunContext, index: int, *, load_input: Callable[[int], Any], store_output: Callable[[int, Any], None]
) -> Times:
    """Run one node once.

    Args:
        context: the run.
        index: plan index of the node.
        load_input: returns the value of an in-memory dataset, given its plan index.
        store_output: stores the value of an in-memory output, given its plan index and the value.

    Returns:
        When the attempt started and finished, and how long each part took.

    Raises:
        AttemptFailedError: the node's function, a dataset or a hook raised, or the node called `sys.exit`.
        KeyboardInterrupt: the user pressed Ctrl-C, and the context is interruptible.
    """
    # The wall clock may be adjusted during the attempt, so durations come from the performance counter.
    started, started_counter = time.time(), time.perf_counter()
    steps = Steps(started)
    if context.records_outputs:
        steps.contents = {}
    node: Node | None = None
    try:
        node = context.node(index)
        steps.node = node.name
        if index in context.timeouts:
            steps.limit_time(node.name, context.timeouts[index], in_worker=context.in_worker)
        if context.validators is not None:
            load_input, store_output = context.validators.around(node.name, load_input, store_output)
        attempt = _attempt if context.strategy is None else _attempt_with_strategy
        if context.seeds is not None and (seed := context.seeds.of(index)) is not None:
            with seeded(seed, node.name):
                times = attempt(context, index, node, steps, load_input, store_output)
        else:
            times = attempt(context, index, node, steps, load_input, store_output)
        return times._replace(contents=tuple(sorted(steps.contents.values()))) if steps.contents else times
    except BaseException as exc:  # whatever a node or a library raises, SystemExit included, is the node's failure
        steps.end_if_forked(exc)
        if context.interruptible and isinstance(exc, KeyboardInterrupt):
            raise
        ended = time.perf_counter()
        failure = record_failure(exc, phase=steps.phase, dataset=steps.dataset, **hook_at_fault(context, steps, exc))
        failure = failure._replace(seconds=steps.seconds(started_counter, ended))
        if node is not None and context.strategy is None:
            report_error(context, node, steps, exc)
        raise AttemptFailedError(failure, started, started + time.perf_counter() - started_counter, exc) from exc


def _attempt(
    context: RunContext,
    index: int,
    node: Node,
    steps: Steps,
    load_input: Callable[[int], Any],
    store_output: Callable[[int, Any], None],
) -> Times:
    clock = time.perf_counter
    started = clock()
    hooked = context.hooks is not None  # checked once: for a tiny node, calls that find no hook would dominate its cost
    inputs_to_load = context.inputs[index]
    if inputs_to_load:
        if context.is_async:
            _in_threads(steps, partial(_load_input, context, node, steps.inputs, load_input), inputs_to_load)
            # Threads finish in any order: restore the order of the node's inputs.
            steps.inputs = {name: steps.inputs[name] for name in [context.dataset_names[each] for each in inputs_to_load]}
        else:
            for dataset in inputs_to_load:
                _load_input(context, node, steps.inputs, load_input, dataset, steps)
        steps.dataset = None
    loaded = steps.loaded = clock()
    inputs: Mapping[str, Any] = override_inputs(context, steps, node) if hooked else steps.inputs
    if inputs:
        inputs = typed_inputs(node, inputs)
    steps.phase = "run"
    if not hooked:
        steps.inputs = {}  # the function may free its arguments, which only hooks would still need
    returned = node.call(inputs, release=not hooked)
    if node.streams(returned):
        saving = _save_chunks(context, index, node, inputs, returned, steps, store_output)
        done = clock()
        return Times(steps.started, steps.started + done - started, loaded - started, done - loaded - saving, saving)
    outputs = dict(node.unpack(returned))
    steps.check_time()
    del returned
    ran = steps.ran = clock()
    if hooked:
        call_hook(context, steps, "after_node_run", **node_arguments(context, node, inputs), outputs=outputs)
        outputs = dict(outputs)  # a copy, since a hook may keep the mapping it received; each output is freed once it is saved
    # Memory use peaks while the outputs are saved, so the inputs are released first.
    inputs = {}
    steps.inputs = {}
    if outputs:
        _save_outputs(context, index, node, outputs, steps, store_output)
    if node.confirms:
        _confirm(context, steps, node)
    done = clock()
    return new_record(Times, (steps.started, steps.started + done - started, loaded - started, ran - loaded, done - ran, ()))


def _load_input(
    context: RunContext, node: Node, inputs: dict[str, Any], load_input: Callable[[int], Any], dataset: int, steps: Steps
) -> None:
    name = context.dataset_names[dataset]
    steps.phase, steps.dataset = "load", name
    if context.hooks is not None:
        call_hook(context, steps, "before_dataset_loaded", dataset_name=name, node=node)
    data = load_input(dataset) if context.in_memory[dataset] else _load(context, name, node)
    if context.hooks is not None:
        call_hook(context, steps, "after_dataset_loaded", dataset_name=name, data=data, node=node)
    inputs[name] = data


def _save_outputs(
    context: RunContext,
    index: int,
    node: Node,
    outputs: dict[str, Any],
    steps: Steps,
    store_output: Callable[[int, Any], None],
) -> None:
    """Save the outputs of a node; each is removed from the dictionary, so that it is freed once it is saved."""
    datasets = context.outputs[index]
    if len(datasets) == 1:  # most nodes
        _save_output(context, node, datasets[0], outputs.popitem()[1], steps, store_output)
        return
    index_of = {context.dataset_names[dataset]: dataset for dataset in datasets}
    if context.is_async:

        def save(name: str, steps: Steps) -> None:
            _save_output(context, node, index_of[name], outputs.pop(name), steps, store_output)

        _in_threads(steps, save, tuple(outputs))
        return
    for name in tuple(outputs):
        _save_output(context, node, index_of[name], outputs.pop(name), steps, store_output)


def _attempt_with_strategy(
    context: RunContext,
    index: int,
    node: Node,
    steps: Steps,
    load_input: Callable[[int], Any],
    store_output: Callable[[int, Any], None],
) -> Times:
    """Let another framework load the node's inputs, call it and save its outputs."""
    times = cast("AttemptStrategy", context.strategy)(node, index, steps, load_input, store_output)
    steps.check_time()
    return times


def _save_chunks(
    context: RunContext,
    index: int,
    node: Node,
    inputs: Mapping[str, Any],
    returned: Any,
    steps: Steps,
    store_output: Callable[[int, Any], None],
) -> float:
    """Save the chunks that a generator yields, one by one; return the seconds spent saving."""
    outputs: dict[str, Any] = {}
    saving = 0.0
    with steps.saving_chunks():
        with (
            ExitStack() as files
        ):  # files that are appended to are replaced only when the generator has finished without an error
            # In-memory chunks are copied, so that changes that the generator makes to a chunk after yielding it have no effect.
            def store_copy(dataset: int, chunk: Any) -> None:
                store_output(dataset, snapshot(chunk, context.copy_mode(dataset)))

            index_of = {context.dataset_names[dataset]: dataset for dataset in context.outputs[index]}
            saved = _ChunkFiles(context, files)
            for name, chunk in node.unpack(returned):
                before = time.perf_counter()
                steps.check_time()
                _save_output(context, node, index_of[name], chunk, steps, store_copy, saved)
                saving += time.perf_counter() - before
                steps.phase, steps.dataset = "run", None
                outputs[name] = chunk
            call_hook(context, steps, "after_node_run", **node_arguments(context, node, inputs), outputs=outputs)
            steps.check_time()
            before = time.perf_counter()
            steps.phase = "save"
        saved.record(steps, store_output)
    _confirm(context, steps, node)
    return saving + time.perf_counter() - before


def _in_threads(steps: Steps, function: Callable[[_T, Steps], None], items: Sequence[_T]) -> None:
    """Load a node's inputs or save its outputs, each in a thread if there are several: for asynchronous runs."""
    if len(items) < 2:
        for item in items:
            function(item, steps)
        return
    steps_of_items = [Steps(steps.started) for _ in items]
    for item_steps in steps_of_items:
        item_steps.contents = steps.contents
    from concurrent.futures import ThreadPoolExecutor  # cannot be imported any more when an exit handler runs a pipeline

    with ThreadPoolExecutor(len(items), thread_name_prefix="treadle-async") as threads:
        futures = [
            threads.submit(copy_context().run, function, item, item_steps)
            for item, item_steps in zip(items, steps_of_items, strict=True)
        ]
    for item_steps, future in zip(steps_of_items, futures, strict=True):
        error = future.exception()
        if error is not None:
            steps.phase, steps.dataset, steps.hook = item_steps.phase, item_steps.dataset, item_steps.hook
            raise error


def _confirm(context: RunContext, steps: Steps, node: Node) -> None:
    """Confirm the datasets that the node names in `confirms`; in-memory datasets have nothing to confirm."""
    for name in node.confirms:
        if name in context.catalog and not context.catalog.capabilities(name).in_memory:
            steps.phase, steps.dataset = "confirm", name
            try:
                context.catalog.confirm(name)
            except TreadleError as exc:
                _add_node_name(exc, node)
                raise


def _save_output(
    context: RunContext,
    node: Node,
    dataset: int,
    data: Any,
    steps: Steps,
    store_output: Callable[[int, Any], None],
    chunks: _ChunkFiles | None = None,
) -> None:
    """Save one output of a node, or one chunk of it, and call the hooks around that.

    Args:
        context: the run.
        node: the node.
        dataset: plan index of the output.
        data: its value.
        steps: where the attempt is.
        store_output: stores the value of an in-memory output.
        chunks: the files that the chunks of a generator are appended to; None if the value is whole.
    """
    name = context.dataset_names[dataset]
    steps.phase, steps.dataset = "save", name
    if data is None:
        msg = (
            f"Node '{node.name}' returned None for dataset '{name}', and None cannot be saved. Its function probably lacks "
            "a return statement. If the node has no outputs, declare it with outputs=None."
        )
        raise DatasetError(msg, dataset=name, node=node.name)
    hooked = context.hooks is not None
    if hooked:
        call_hook(context, steps, "before_dataset_saved", dataset_name=name, data=data, node=node)
    if context.in_memory[dataset]:
        store_output(dataset, data)
    else:
        _save_to_catalog(context, node, dataset, data, steps, store_output, chunks)
    if hooked:
        call_hook(context, steps, "after_dataset_saved", dataset_name=name, data=data, node=node)


def _save_to_catalog(
    context: RunContext,
    node: Node,
    dataset: int,
    data: Any,
    steps: Steps,
    store_output: Callable[[int, Any], None],
    chunks: _ChunkFiles | None,
) -> None:
    name = context.dataset_names[dataset]
    state = context.state if context.state is not None and name in context.state.names else None

    def save() -> None:
        context.catalog.save(name, data)
        _store_identity(context, dataset, store_output)

    try:
        if state is not None:
            state.before_save(name, context.catalog[name])
        if chunks is None:
            steps.save_output(name, lambda: context.catalog[name], save)
        else:
            chunks.append(dataset, name, data)
        if state is not None:
            state.after_save(name, context.catalog[name])
    except TreadleError as exc:
        _add_node_name(exc, node)
        raise


def _store_identity(context: RunContext, dataset: int, store_output: Callable[[int, Any], None]) -> None:
    """If the dataset is a result of the run, store the identity of its file in place of its value."""
    if context.is_result and context.is_result[dataset]:
        store_output(dataset, context.catalog.file_identity(context.dataset_names[dataset]))


class _ChunkFiles:
    """The files that the chunks of a generator are appended to; each is opened with its first chunk.

    Args:
        context: the run.
        files: closes them.
    """

    def __init__(self, context: RunContext, files: ExitStack) -> None:
        self._context, self._files = context, files
        self._append: dict[int, Callable[[Any], None]] = {}

    def append(self, dataset: int, name: str, chunk: Any) -> None:
        """Append a chunk of an output to its file."""
        if dataset not in self._append:
            self._append[dataset] = self._files.enter_context(self._context.catalog.appending(name))
        self._append[dataset](chunk)

    def record(self, steps: Steps, store_output: Callable[[int, Any], None]) -> None:
        """Record the files as results and with their contents. Called when they are complete."""
        for dataset in self._append:
            _store_identity(self._context, dataset, store_output)
        steps.record_contents([self._context.dataset_names[each] for each in self._append], self._context.catalog.__getitem__)


def _load(context: RunContext, name: str, node: Node) -> Any:
    state = context.state if context.state is not None and name in context.state.names else None
    try:
        if state is not None:
            state.refresh(name, lambda: context.catalog[name])
        return context.catalog.load(name)
    except TreadleError as exc:
        if state is not None:
            state.explain(name, exc)
        _add_node_name(exc, node)
        raise


def _add_node_name(exc: TreadleError, node: Node) -> None:
    if isinstance(exc, DatasetError) and exc.node is None:
        exc.node = node.name
