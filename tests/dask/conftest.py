"""The dask clusters that tests share, of `dask` commands, each in its own folder: one that stays, one whose workers change."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from treadle import Pipeline, node

distributed = pytest.importorskip("distributed")


class Cluster:
    """A scheduler and workers in processes of their own.

    Args:
        folder: where each process gets a working directory.
        host: the address of this machine where the scheduler listens.
    """

    def __init__(self, folder, host="127.0.0.1"):
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.processes = {}
        self.start("scheduler", "--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file))

    def start(self, name, *words, before=()):
        """Start a process of the cluster, by a command that begins with the words `before`."""
        home = self._folder / name
        home.mkdir()
        with (home / "log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", name.partition("-")[0], *words],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_worker(self, name, *words):
        """Start a worker with one thread, with a nanny unless `--no-nanny` is among the words."""
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(self._file))
        self.start(f"worker-{name}", *options, "--name", name, *words)

    def start_workers(self, client, count):
        """Start workers without nannies, or have some retire, until there are `count` that run tasks.

        dask ends the retirement of a worker if no other one runs tasks yet.
        """
        addresses = list(client.sync(client.scheduler.identity)["workers"])
        for _ in range(count - len(addresses)):
            self.start_worker(uuid.uuid4().hex[:8], "--no-nanny")
        if addresses[count:]:
            client.retire_workers(addresses[count:])
        end = time.monotonic() + 60
        while [each["status"] for each in client.sync(client.scheduler.identity)["workers"].values()] != ["running"] * count:
            assert time.monotonic() < end
            time.sleep(0.02)

    @property
    def address(self):
        """The address of the scheduler, once it runs."""
        end = time.monotonic() + 60
        while not self._file.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        return json.loads(self._file.read_text())["address"]

    def client(self):
        """Return a client, once the scheduler runs."""
        return distributed.Client(scheduler_file=str(self._file), set_as_default=False)

    def close(self):
        """End all processes: the scheduler last, because workers that have lost it would look for it for a while."""
        scheduler = self.processes.pop("scheduler")
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM if scheduler.poll() is None else signal.SIGKILL)
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # a worker of a killed nanny ends by itself
                process.kill()
                process.wait()
        scheduler.terminate()
        scheduler.wait()


class Meeting:
    """Make nodes in several processes wait for one another: each connects to the test, which answers when all have come.

    Args:
        count: the number of nodes.
        host: the address of this machine that the nodes connect to.
    """

    def __init__(self, count, host="127.0.0.1"):
        self._listener = socket.create_server((host, 0))
        self._count = count
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        for connection in [self._listener.accept()[0] for _ in range(self._count)]:
            connection.close()

    @property
    def attend(self):
        """A function for the nodes, which returns when all have called it."""
        address = self._listener.getsockname()

        def attend():
            with socket.create_connection(address, timeout=60) as connection:
                connection.settimeout(60)
                connection.recv(1)

        return attend

    def close(self):
        """Free the socket."""
        self._listener.close()


@pytest.fixture
def attend_at():
    """`attend_at(host)`: a function that two nodes call to run at the same time, so in two workers."""
    made = []

    def make(host="127.0.0.1"):
        made.append(Meeting(2, host))
        return made[-1].attend

    yield make
    for each in made:
        each.close()


@pytest.fixture
def attend(attend_at):
    """A function that two nodes call to run at the same time, so in two workers."""
    return attend_at()


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory):
    """Make clusters; they are closed after the last test."""
    made = []

    def make(host="127.0.0.1"):
        made.append(Cluster(tmp_path_factory.mktemp("cluster"), host))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def cluster(make_cluster):
    """The cluster that tests share which leave it whole; its workers have nannies."""
    made = make_cluster()
    made.start_worker("w", "--nworkers", "2")
    return made


@pytest.fixture(scope="session")
def changing_clusters():
    """The clusters of `changing_cluster`."""
    return []


@pytest.fixture
def changing_cluster(changing_clusters, make_cluster):
    """The cluster that tests share which start and end its workers; none of these has a nanny."""
    if not changing_clusters or changing_clusters[-1].processes["scheduler"].poll() is not None:
        changing_clusters.append(make_cluster())
    return changing_clusters[-1]


@pytest.fixture(scope="session")
def client(cluster):
    """A client of the shared cluster, with both workers up."""
    with cluster.client() as made:
        made.wait_for_workers(2, timeout=60)
        yield made


@pytest.fixture
def nodes_for_two_workers(tmp_path):
    """`nodes_for_two_workers(count)`: a pipeline of nodes that can only end if they run in two processes."""
    folder = str(tmp_path)

    def meet():
        Path(folder, f"{os.getpid()}.pid").touch()
        end = time.monotonic() + 60
        while len(list(Path(folder).glob("*.pid"))) < 2:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.02)
        return os.getpid()

    return lambda count: Pipeline([node(meet, None, f"pid{index}", name=f"n{index}") for index in range(count)])
