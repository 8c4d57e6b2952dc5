"""What is opened for a cluster of our own, where its start fails."""

from __future__ import annotations

import logging

import pytest

from treadle.errors import RunnerError
from treadle.execution.executors.dask.cluster import connected
from treadle.execution.executors.dask.health import ClusterHealth
from treadle.execution.executors.dask.worker_checks import UnusableWorkerError
from treadle.execution.runners.dask import DaskRunner

distributed = pytest.importorskip("distributed")


@pytest.mark.parametrize("broken", ["LocalCluster", "Client"])
def test_a_start_that_fails_leaves_nothing(monkeypatch, broken):
    """The cluster is closed, and dask logs as before."""
    closed = []

    class Cluster:
        def __init__(self, **_options):
            pass

        def close(self):
            closed.append(self)

    def fail(*_arguments, **_options):
        raise OSError("no more ports")

    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr(distributed, "LocalCluster", Cluster)
    monkeypatch.setattr(distributed, broken, fail)
    logger = logging.getLogger("distributed")
    monkeypatch.setattr(logger, "level", logging.INFO)
    with pytest.raises(OSError, match="no more ports"):
        connected(None, None, None, 1)
    assert logger.level == logging.INFO
    assert len(closed) == (1 if broken == "Client" else 0)


def test_a_worker_that_is_gone_does_not_end_the_check_of_the_others(monkeypatch):
    """The folders are checked in every worker that is still there."""

    class Client:
        def sync(self, function, *arguments):
            return function(*arguments)

    class Link:
        ready = True

        def __init__(self, error):
            self.error = error

        def check_folders(self, _folders):
            raise self.error

    monkeypatch.setattr("treadle.execution.executors.dask.health.folders_of", lambda _run: {"/data": "orders"})
    health = ClusterHealth(Client(), 1.0, shared_file_system=None)
    with pytest.raises(RunnerError, match="not seen"):
        health.check_folders(None, [Link(OSError("gone")), Link(UnusableWorkerError("not seen"))])


def test_dask_is_not_installed(monkeypatch):
    """The error names what to install."""
    monkeypatch.setattr("treadle.execution.executors.dask.cluster.find_spec", lambda _name: None)
    with pytest.raises(RunnerError, match=r"not installed\. Install it with: pip install 'treadle\[dask\]'"):
        DaskRunner()
