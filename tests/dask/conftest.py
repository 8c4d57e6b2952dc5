"""A dask cluster that the tests share: a scheduler and two workers, started by the `dask` command, each in its own folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

distributed = pytest.importorskip("distributed")


class Cluster:
    """A scheduler and workers in processes of their own, on loopback ports.

    Args:
        folder: where each process gets a working directory.
    """

    def __init__(self, folder):
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.processes = {}
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file))

    def start(self, name, *words):
        """Start a process of the cluster."""
        home = self._folder / name
        home.mkdir()
        with (home / "log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", name.partition("-")[0], *words],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_worker(self, name, *words):
        """Start a worker with one thread, with a nanny unless `--no-nanny` is among the words."""
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(self._file))
        self.start(f"worker-{name}", *options, "--name", name, *words)

    def client(self):
        """Return a client, once the scheduler runs."""
        return distributed.Client(scheduler_file=str(self._file), set_as_default=False)

    def close(self):
        """End all processes."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # a worker of a killed nanny ends by itself
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory):
    """Make clusters; they are closed after the last test."""
    made = []

    def make(workers=2, *words):
        cluster = Cluster(tmp_path_factory.mktemp("cluster"))
        made.append(cluster)
        for number in range(workers):
            cluster.start_worker(f"w{number}", *words)
        return cluster

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def cluster(make_cluster):
    """The cluster that tests share which leave it whole; its workers have nannies."""
    return make_cluster()


@pytest.fixture(scope="session")
def client(cluster):
    """A client of the shared cluster, with both workers up."""
    with cluster.client() as made:
        made.wait_for_workers(2, timeout=60)
        yield made
