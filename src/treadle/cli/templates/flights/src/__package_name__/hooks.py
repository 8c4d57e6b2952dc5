"""Hooks: code that runs at fixed points of every run, without a line in the nodes."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from treadle import hook_impl

if TYPE_CHECKING:
    from treadle import Node

logger = logging.getLogger(__name__)


class DatasetReport:
    """Logs the size of each dataset that is loaded or saved, and how long that took.

    Node and dataset hooks run in the process that has the data. In a parallel run, every worker has a copy of this object, and
    its log records are sent to the main process.
    """

    def __init__(self) -> None:
        self._started: dict[tuple[str, str], float] = {}

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        """Store the start time."""
        self._started[dataset_name, node.name] = perf_counter()

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any, node: Node) -> None:
        """Log a load, at level DEBUG because there are many."""
        self._log(logging.DEBUG, "Loaded", dataset_name, data, node)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Store the start time."""
        self._started[dataset_name, node.name] = perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Log a save."""
        self._log(logging.INFO, "Saved", dataset_name, data, node)

    def _log(self, level: int, verb: str, dataset_name: str, data: Any, node: Node) -> None:
        seconds = perf_counter() - self._started.pop((dataset_name, node.name))
        if not dataset_name.startswith(("params:", "parameters")):
            logger.log(level, "%s %s: %s in %.2f s", verb, dataset_name, describe(data), seconds)


def describe(data: Any) -> str:
    """Describe a value in a few words.

    Args:
        data: any value of a dataset.

    Returns:
        The rows and columns of a table; the type of any other value.
    """
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 2:
        return f"{shape[0]:,} rows × {shape[1]} columns"
    return type(data).__name__
