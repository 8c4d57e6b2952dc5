"""The runner `auto` for Kedro projects: the interface of Kedro's `AbstractRunner` on the engine that chooses its workers.

State: the engine, which keeps its workers between runs if the runner is used as a context manager. Runs in the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro.runner import AbstractRunner

from treadle.kedro.engines import KedroAutoEngine, requested_start_method
from treadle.kedro.reuse_options import ReuseOptions
from treadle.kedro.runner import ParallelRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.kedro.engines import KedroDaskEngine, KedroEngine


class AutoRunner(ParallelRunner):
    """Run a Kedro project's pipeline in this process or in worker processes, whichever is expected to be faster.

    A pipeline whose nodes have not run yet runs in workers. After that, the durations of its nodes and runs are known: from the
    records of the project, if it records its runs, and from the runs of this runner.

    Args:
        max_workers: the most processes that it may start; by default, the number of cores that this process can use.
        is_async: load inputs and save outputs in threads, as with Kedro's `--async`.
        start_method: as for the parallel runner.
        resources: the limits of resources that running nodes share: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to run the nodes that do not depend on a failed one.
        exchange_memory: as for the parallel runner.
        seed: makes the random numbers of each node reproducible: they depend only on the seed and the node's name.
        resume: as for the parallel runner.
        skip_unchanged: likewise.

    Raises:
        RunnerError: an unknown start method, fewer than one worker, or an invalid amount of memory.

    Example:
        `kedro run --runner=treadle.kedro.AutoRunner`
    """

    def __init__(  # noqa: PLR0913 - the options of a runner, each by its name
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - Kedro's own signature
        start_method: str | None = None,
        *,
        resources: Mapping[str, int | str] | None = None,
        on_failure: str | None = None,
        exchange_memory: int | str | None = None,
        seed: int | None = None,
        resume: str | None = None,
        skip_unchanged: bool = False,
    ) -> None:
        AbstractRunner.__init__(self, is_async=is_async)
        self._reuse_options = ReuseOptions(None if resume is None else str(resume), skip_unchanged=skip_unchanged)
        start_method = requested_start_method(start_method)
        self._engine: KedroEngine | KedroDaskEngine | KedroAutoEngine = KedroAutoEngine(
            max_workers,
            start_method,
            resources=resources,
            on_failure=on_failure,
            exchange_memory=exchange_memory,
            seed=seed,
        )
        self._recipes = {}
