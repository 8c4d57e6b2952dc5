"""The runner for Kedro projects on a dask cluster: the interface of Kedro's `AbstractRunner` on Treadle's dask engine.

State: the engine, which stays connected between runs if the runner is used as a context manager. Runs in the main process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.runner import AbstractRunner

from treadle.kedro.engines import KedroDaskEngine
from treadle.kedro.reuse_options import ReuseOptions
from treadle.kedro.runner import ParallelRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.kedro.engines import KedroAutoEngine, KedroEngine


class DaskRunner(ParallelRunner):
    """Run a Kedro project's pipeline on the workers of a dask.distributed cluster.

    Args:
        max_workers: the most workers to use, and the number of workers of a cluster that is started here.
        is_async: load inputs and save outputs in threads, as with Kedro's `--async`.
        address: address of a running scheduler; without one, that of dask's configuration (`DASK_SCHEDULER_ADDRESS`), and else
            a cluster is started on this machine.
        client: a `distributed.Client`, which stays open.
        cluster: a cluster object, which stays up.
        worker_timeout: seconds that a run waits while the cluster has no worker.
        shared_file_system: whether workers see the files of this machine; None to find out before nodes run.
        resources: the limits of resources that running nodes share: `{"gpu": 1, "memory": "16GB"}`.
        on_failure: `"continue"` to run the nodes that do not depend on a failed one.
        seed: makes the random numbers of each node reproducible: they depend only on the seed and the node's name.
        resume: as for the parallel runner.
        skip_unchanged: likewise.

    Raises:
        RunnerError: an invalid argument, or dask.distributed is not installed.

    Example:
        `kedro run --runner=treadle.kedro.DaskRunner --runner-params=address=tcp://10.0.0.1:8786`
    """

    def __init__(  # noqa: PLR0913 - the options of a runner, each by its name
        self,
        max_workers: int | None = None,
        is_async: bool = False,  # noqa: FBT001, FBT002 - Kedro's own signature
        *,
        address: str | None = None,
        client: Any = None,
        cluster: Any = None,
        worker_timeout: float = 60.0,
        shared_file_system: bool | None = None,
        resources: Mapping[str, int | str] | None = None,
        on_failure: str | None = None,
        seed: int | None = None,
        resume: str | None = None,
        skip_unchanged: bool = False,
    ) -> None:
        AbstractRunner.__init__(self, is_async=is_async)
        self._reuse_options = ReuseOptions(None if resume is None else str(resume), skip_unchanged=skip_unchanged)
        self._engine: KedroEngine | KedroDaskEngine | KedroAutoEngine = KedroDaskEngine(
            address,
            client=client,
            cluster=cluster,
            max_workers=max_workers,
            worker_timeout=worker_timeout,
            shared_file_system=shared_file_system,
            resources=resources,
            on_failure=on_failure,
            seed=seed,
        )
        self._recipes = {}
