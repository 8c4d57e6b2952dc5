"""Load the inputs of a node, or save its outputs, at the same time: for asynchronous runs.

Runs wherever nodes run. State: none. Neighbours: `attempt.py` loads, `saving.py` saves.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from treadle.execution.attempt.context import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")


def in_threads(steps: Steps, function: Callable[[_T, Steps], None], items: Sequence[_T]) -> None:
    """Load a node's inputs or save its outputs, each in a thread if there are several: for asynchronous runs."""
    if len(items) < 2:
        for item in items:
            function(item, steps)
        return
    steps_of_items = [Steps(steps.started, steps.process) for _ in items]
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
