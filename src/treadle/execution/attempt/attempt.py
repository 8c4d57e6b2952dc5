"""One attempt at one node: load its inputs, call its function, save its outputs, and call the hooks around each step.

The same code runs in the main process, in threads and in worker processes. In-memory values are read and stored through the
caller's `load_input` and `store_output`. State: none. Neighbours: `context.py` defines what an attempt knows of its run,
`saving.py` saves the outputs, `hooks.py` calls the hooks.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from treadle.errors import TreadleError
from treadle.execution.attempt.context import Steps, Times
from treadle.execution.attempt.failure import add_node_name, record_failure
from treadle.execution.attempt.hooks import call_hook, hook_at_fault, node_arguments, override_inputs, report_error
from treadle.execution.attempt.saving import confirm, save_chunks, save_output, save_outputs
from treadle.execution.attempt.seeding import seeded
from treadle.execution.processes.safe_points import is_interrupt
from treadle.execution.values.pickling import ATOMS
from treadle.named_tuple import new_record
from treadle.pipeline.typed import typed_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.events import Failure
    from treadle.execution.attempt.context import AttemptStrategy, RunContext
    from treadle.pipeline import Node


class AttemptFailedError(Exception):
    """An attempt failed; carries the failure record, and the exception itself for callers in the same process."""

    def __init__(self, failure: Failure, started: float, at: float, original: BaseException) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.started = started
        self.at = at
        self.original = original


def attempt_node(
    context: RunContext,
    index: int,
    *,
    load_input: Callable[[int], Any],
    store_output: Callable[[int, Any], None],
    started: float | None = None,
) -> Times:
    """Run one node once.

    Args:
        context: the run.
        index: plan index of the node.
        load_input: returns the value of an in-memory dataset, given its plan index.
        store_output: stores the value of an in-memory output, given its plan index and the value.
        started: when the attempt started, in seconds since the epoch; now if None.

    Returns:
        When the attempt started and finished, and how long each part took.

    Raises:
        AttemptFailedError: the node's function, a dataset or a hook raised, or the node called `sys.exit`.
        KeyboardInterrupt: the user pressed Ctrl-C, and the context is interruptible. Or SystemExit, if the handler of a signal
            raised it.
    """
    # The wall clock may be adjusted during the attempt, so durations come from the performance counter.
    if started is None:
        started = time.time()
    started_counter = time.perf_counter()
    steps = Steps(started, context.process)
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
        if context.interruptible and is_interrupt(exc):
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
    started = loaded = clock()
    hooked = context.hooks is not None  # checked once: for a tiny node, calls that find no hook would dominate its cost
    if context.inputs[index]:
        _load_inputs(context, index, node, steps, load_input)
        loaded = clock()
    steps.loaded = loaded
    inputs: Mapping[str, Any] = override_inputs(context, steps, node) if hooked else steps.inputs
    if inputs:
        inputs = typed_inputs(node, inputs)
    steps.phase = "run"
    if not hooked:
        steps.inputs = {}  # the function may free its arguments, which only hooks would still need
    returned = node.call(inputs, release=not hooked)
    is_atom = type(returned) in ATOMS and node.returns_one_output  # not a generator: the node may be tiny, so it is not asked
    if not is_atom and node.streams(returned):
        saving = save_chunks(context, index, node, inputs, returned, steps, store_output)
        done = clock()
        return Times(steps.started, steps.started + done - started, loaded - started, done - loaded - saving, saving)
    if is_atom and not hooked:
        ran = steps.ran = clock()
        steps.check_time()
        inputs = steps.inputs = {}  # freed before the output is saved
        save_output(context, node, context.outputs[index][0], returned, steps, store_output)
    else:
        outputs = dict(node.unpack(returned))
        del returned
        ran = steps.ran = clock()
        steps.check_time()
        if hooked:
            call_hook(context, steps, "after_node_run", **node_arguments(context, node, inputs), outputs=outputs)
            outputs = dict(outputs)  # each output is freed once it is saved, and a hook may keep the mapping that it received
        # Memory use peaks while the outputs are saved, so the inputs are released first.
        inputs = {}
        steps.inputs = {}
        if outputs:
            save_outputs(context, index, node, outputs, steps, store_output)
    if node.confirms:
        confirm(context, steps, node)
    done = clock()
    return new_record(Times, (steps.started, steps.started + done - started, loaded - started, ran - loaded, done - ran, ()))


def _load_inputs(context: RunContext, index: int, node: Node, steps: Steps, load_input: Callable[[int], Any]) -> None:
    to_load = context.inputs[index]
    if context.is_async:
        from treadle.execution.attempt.async_steps import in_threads

        in_threads(steps, partial(_load_input, context, node, steps.inputs, load_input), to_load)
        # Threads finish in any order: restore the order of the node's inputs.
        steps.inputs = {name: steps.inputs[name] for name in [context.dataset_names[each] for each in to_load]}
    else:
        for dataset in to_load:
            _load_input(context, node, steps.inputs, load_input, dataset, steps)
    steps.dataset = None


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


def _load(context: RunContext, name: str, node: Node) -> Any:
    state = context.state if context.state is not None and name in context.state.names else None
    try:
        if state is not None:
            state.refresh(name, lambda: context.catalog[name])
        return context.catalog.load(name)
    except TreadleError as exc:
        if state is not None:
            state.explain(name, exc)
        add_node_name(exc, node)
        raise
