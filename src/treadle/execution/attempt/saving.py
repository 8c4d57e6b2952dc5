"""Save the outputs of a node, whole or chunk by chunk, and call the hooks around each of them.

Runs wherever nodes run. State: the files that a generator's chunks are appended to. Neighbour: `attempt.py` calls the node.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, TreadleError
from treadle.execution.attempt.failure import add_node_name
from treadle.execution.attempt.hooks import call_hook, node_arguments
from treadle.execution.values.transfer import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.execution.attempt.context import RunContext, Steps
    from treadle.pipeline import Node


def save_outputs(
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
        save_output(context, node, datasets[0], outputs.popitem()[1], steps, store_output)
        return
    index_of = {context.dataset_names[dataset]: dataset for dataset in datasets}
    if context.is_async:
        from treadle.execution.attempt.async_steps import in_threads

        def save(name: str, steps: Steps) -> None:
            save_output(context, node, index_of[name], outputs.pop(name), steps, store_output)

        in_threads(steps, save, tuple(outputs))
        return
    for name in tuple(outputs):
        save_output(context, node, index_of[name], outputs.pop(name), steps, store_output)


def save_chunks(
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
        with ExitStack() as files:  # replaces the files that are appended to, if the generator finishes without an error
            # In-memory chunks are copied, so that changes that the generator makes to a chunk after yielding it have no effect.
            def store_copy(dataset: int, chunk: Any) -> None:
                store_output(dataset, snapshot(chunk, context.copy_mode(dataset)))

            index_of = {context.dataset_names[dataset]: dataset for dataset in context.outputs[index]}
            saved = _ChunkFiles(context, files)
            for name, chunk in node.unpack(returned):
                before = time.perf_counter()
                steps.check_time()
                save_output(context, node, index_of[name], chunk, steps, store_copy, saved)
                saving += time.perf_counter() - before
                steps.phase, steps.dataset = "run", None
                outputs[name] = chunk
            call_hook(context, steps, "after_node_run", **node_arguments(context, node, inputs), outputs=outputs)
            steps.check_time()
            before = time.perf_counter()
            steps.phase = "save"
        saved.record(steps, store_output)
    confirm(context, steps, node)
    return saving + time.perf_counter() - before


def save_output(
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
            chunks.append(dataset, data)
        if state is not None:
            state.after_save(name, context.catalog[name])
    except TreadleError as exc:
        add_node_name(exc, node)
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

    def append(self, dataset: int, chunk: Any) -> None:
        """Append a chunk of an output to its file."""
        if dataset not in self._append:
            name = self._context.dataset_names[dataset]
            self._append[dataset] = self._files.enter_context(self._context.catalog.appending(name))
        self._append[dataset](chunk)

    def record(self, steps: Steps, store_output: Callable[[int, Any], None]) -> None:
        """Record the files as results and with their contents. Called when they are complete."""
        for dataset in self._append:
            _store_identity(self._context, dataset, store_output)
        steps.record_contents([self._context.dataset_names[each] for each in self._append], self._context.catalog.__getitem__)


def confirm(context: RunContext, steps: Steps, node: Node) -> None:
    """Confirm the datasets that the node names in `confirms`; in-memory datasets have nothing to confirm."""
    for name in node.confirms:
        if name in context.catalog and not context.catalog.capabilities(name).in_memory:
            steps.phase, steps.dataset = "confirm", name
            try:
                context.catalog.confirm(name)
            except TreadleError as exc:
                add_node_name(exc, node)
                raise
