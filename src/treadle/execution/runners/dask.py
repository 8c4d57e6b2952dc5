"""The dask runner: nodes on the workers of a dask.distributed cluster, which it starts, or which runs already.

State, in addition to that of every runner: the fingerprint of the project that the workers were set up for. Runs in the driver.
Neighbours: `executors/dask/cluster.py` finds or starts the cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.runners.arguments import checked_flag, refuse_at_exit
from treadle.execution.runners.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.executors.dask.cluster import Connection
    from treadle.execution.executors.executor import Executor
    from treadle.execution.loop.result import RunResult
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.project import ProjectSetup
    from treadle.pipeline.policy import FailurePolicy
    from treadle.pipeline.quantities import Amount
    from treadle.planning import Plan


class DaskRunner(Runner):
    """Run nodes on the workers of a dask.distributed cluster.

    Without an address, a client or a cluster, it uses the cluster that `DASK_SCHEDULER_ADDRESS` names, and else starts a
    `LocalCluster` of processes with one thread each, which it closes with the runner.

    Args:
        address: address of a running scheduler, such as `"tcp://10.0.0.1:8786"`; the cluster is left running.
        client: a `distributed.Client`; it is left open.
        cluster: a cluster object, such as a `dask_jobqueue.SLURMCluster`; it is left running.
        max_workers: the most workers to use, and the number of workers of a `LocalCluster`; None for all, and for one a core.
        worker_timeout: seconds that a run waits while the cluster has no worker.
        shared_file_system: whether workers see the files of this machine; None to find out before nodes run.
        is_async: as for every `Runner`.
        resources: as for every `Runner`.
        on_failure: as for every `Runner`.
        seed: as for every `Runner`.

    Raises:
        RunnerError: an argument is invalid, or dask.distributed is not installed.
    """

    name = "dask"
    has_processes = True

    def __init__(  # noqa: PLR0913 - the options of a runner, each by its name
        self,
        address: str | None = None,
        *,
        client: Any = None,
        cluster: Any = None,
        max_workers: Any = None,
        worker_timeout: Any = 60.0,
        shared_file_system: bool | None = None,
        is_async: bool = False,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | None = None,
    ) -> None:
        from treadle.execution.executors.dask.cluster import check_installed

        if max_workers is not None and (not isinstance(max_workers, int) or isinstance(max_workers, bool) or max_workers < 1):
            msg = f"max_workers must be a whole number of at least 1, not {max_workers!r}"
            raise RunnerError(msg, name="max_workers")
        if not isinstance(worker_timeout, (int, float)) or isinstance(worker_timeout, bool) or worker_timeout <= 0:
            msg = f"worker_timeout must be a number of seconds above 0, not {worker_timeout!r}"
            raise RunnerError(msg, name="worker_timeout")
        given = [name for name, value in (("address", address), ("client", client), ("cluster", cluster)) if value is not None]
        if len(given) > 1:
            msg = f"The runner 'dask' was given {' and '.join(given)}. Give one of address, client and cluster."
            raise RunnerError(msg, name=given[1])
        check_installed()
        super().__init__(max_workers or 1, is_async=is_async, resources=resources, on_failure=on_failure, seed=seed)
        self._address, self._client, self._cluster = address, client, cluster
        self._limit, self._worker_timeout = max_workers, float(worker_timeout)
        self._shared_file_system = None if shared_file_system is None else checked_flag("shared_file_system", shared_file_system)
        self._project: ProjectSetup | None = None
        self._fingerprint: str | None = None
        self._modules: set[str] = set()
        self._connection: Connection | None = None
        self._keep_connection = False

    def _run_locked(self, bundle: RunBundle, *arguments: Any) -> RunResult:
        self._modules.update(bundle.modules())  # workers need their code
        return super()._run_locked(bundle, *arguments)

    def _get_executor(self, plan: Plan) -> Executor:
        from treadle.execution.packing.worker_spec import fingerprint

        refuse_at_exit(self.name)
        current = fingerprint(self._modules, self._project, environment=False)
        if self._executor is not None and current != self._fingerprint:
            executor, self._executor, self._keep_connection = self._executor, None, True
            try:
                executor.close()  # a new pool sets the project up anew, on the same cluster
            finally:
                self._keep_connection = False
        self._fingerprint = current
        return super()._get_executor(plan)

    def make_executor(self, plan: Plan) -> Executor:  # noqa: ARG002 - one executor fits every plan
        """Make the executor."""
        from treadle.execution.executors.dask.cluster import connected
        from treadle.execution.executors.dask.code import pack_code
        from treadle.execution.executors.dask.executor import dask_executor
        from treadle.execution.packing.project_spec import make_project_spec

        with interrupts_deferred():
            # The executor must be stored before a pending Ctrl-C is raised, so that it can be closed.
            if self._connection is None:
                self._connection = connected(self._address, self._client, self._cluster, self._limit)
            client = self._connection.client
            try:
                self.max_workers = self._limit or max(1, len(client.sync(client.scheduler.identity)["workers"]))
                spec = make_project_spec(self._project)
                package = self._project.package_name if self._project is not None else spec.package_name
                executor = self._executor = dask_executor(
                    client,
                    spec,
                    pack_code((*self._modules, package or "")),
                    max_workers=self._limit,
                    worker_timeout=self._worker_timeout,
                    shared_file_system=self._shared_file_system,
                    before_kill=self._connection.before_kill,
                    closed=self._disconnect,
                )
            except BaseException:
                self._disconnect()
                raise
        return executor

    def _disconnect(self) -> None:
        """Close what was opened for the executor, unless another executor follows."""
        if not self._keep_connection and self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
