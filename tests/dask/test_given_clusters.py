"""Clusters and clients that are given to `DaskRunner`, and those that it refuses."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.errors import RunnerError
from treadle.events import NodeStarted
from treadle.execution.runners.dask import DaskRunner

distributed = pytest.importorskip("distributed")

FACTOR = {"factor": 2}
ONE = Pipeline([node(lambda: 1, None, "a", name="one")])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The files of a certificate that is its own authority, and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    files = str(folder / "certificate.pem"), str(folder / "key.pem")
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=dask", "-out", files[0], "-keyout", files[1]]
    subprocess.run(["openssl", "req", *words], check=True, capture_output=True, timeout=60)
    return files


@pytest.fixture(scope="module")
def local_cluster(certificate):
    """A `LocalCluster` of workers with two threads each, whose connections are encrypted; tests set the number of workers."""
    roles = {
        f"tls_{role}_{kind}": file
        for role in ("client", "scheduler", "worker")
        for kind, file in zip(("cert", "key"), certificate, strict=True)
    }
    security = distributed.Security(tls_ca_file=certificate[0], require_encryption=True, **roles)
    options = {"threads_per_worker": 2, "dashboard_address": "127.0.0.1:0", "protocol": "tls://", "security": security}
    with distributed.LocalCluster(n_workers=1, **options) as made:
        yield made


def test_a_cluster_object_is_left_running(local_cluster):
    """Two runners use it, one after the other."""
    for _each in range(2):
        with DaskRunner(cluster=local_cluster) as runner:
            assert dict(runner.run(ONE, Catalog())) == {"a": 1}
    assert local_cluster.status.name == "running"


def test_a_client_is_left_open(local_cluster):
    """It can be used for other work after the run, and holds no task of it."""
    with distributed.Client(local_cluster, set_as_default=False) as client:
        assert dict(DaskRunner(client=client).run(ONE, Catalog())) == {"a": 1}
        assert client.status == "running"
        end = time.monotonic() + 60
        while client.futures:  # dask forgets a task a moment after the last reference to it has gone
            assert time.monotonic() < end, client.futures
            time.sleep(0.02)
        assert client.submit(abs, -3).result() == 3


def test_a_client_that_is_closed_during_a_run(cluster, tmp_path):
    """The run ends with one error that says so."""
    client, end, closing = cluster.client(), tmp_path / "end", []

    def wait():
        while not end.exists():
            time.sleep(0.01)

    def close(event):
        if isinstance(event, NodeStarted) and not closing:
            closing.append(threading.Thread(target=client.close))
            closing[0].start()

    pipeline = Pipeline([node(wait, None, None, name="wait")])
    try:
        with pytest.raises(RunnerError, match="connection to the dask scheduler was lost"):
            DaskRunner(client=client).run(pipeline, Catalog(), observers=[close])
    finally:
        end.touch()
    closing[0].join()


def test_workers_with_several_threads_run_one_node_at_a_time(local_cluster, tmp_path):
    """A process has one set of standard streams, one seed and one configuration of logging: no two nodes share it."""
    folder = str(tmp_path)

    def alone(index):
        own = Path(folder, str(index))
        own.touch()
        time.sleep(0.05)  # another node would be seen
        others = [path.name for path in Path(folder).iterdir() if path != own]
        own.unlink()
        return others

    nodes = [node(alone, f"i{index}", f"others{index}", name=f"n{index}") for index in range(4)]
    local_cluster.scale(1)
    with DaskRunner(cluster=local_cluster) as one, DaskRunner(cluster=local_cluster) as two:
        results = []
        runs = [
            threading.Thread(
                target=lambda runner=runner: results.append(
                    runner.run(Pipeline(nodes), Catalog({f"i{index}": f"{id(runner)}-{index}" for index in range(4)}))
                )
            )
            for runner in (one, two)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join(60)
        assert [list(result.values()) for result in results] == [[[]] * 4] * 2


def test_objects_of_another_event_loop_are_refused(cluster):
    """A client or cluster with `asynchronous=True` cannot be waited for."""

    async def use_client():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            DaskRunner(client=client).run(ONE, Catalog())

    async def use_cluster():
        options = {"asynchronous": True, "processes": False, "dashboard_address": "127.0.0.1:0"}
        async with distributed.LocalCluster(n_workers=0, **options) as made:
            DaskRunner(cluster=made).run(ONE, Catalog())

    for use in (use_client, use_cluster):
        with pytest.raises(RunnerError, match="an event loop of its own"):
            asyncio.run(use())


@pytest.mark.parametrize("protocol", ["inproc", "tcp"])
def test_workers_in_this_process_are_refused(protocol):
    """One that is ended because of a timeout would end this process, whose printed lines would be sent to the run."""
    options = {"processes": False, "n_workers": 1, "protocol": protocol, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as made, pytest.raises(RunnerError, match="is a thread of this process"):
        DaskRunner(cluster=made).run(ONE, Catalog())


def test_objects_that_are_no_clusters_or_clients(cluster):
    """They are named before anything is connected."""
    with pytest.raises(RunnerError, match=r"cluster='tcp://10\.0\.0\.1:1', of type str"):
        DaskRunner(cluster="tcp://10.0.0.1:1").run(ONE, Catalog())
    with pytest.raises(RunnerError, match="client=7, of type int"):
        DaskRunner(client=7).run(ONE, Catalog())
    client = cluster.client()
    client.close()
    with pytest.raises(RunnerError, match="a client that is closed"):
        DaskRunner(client=client).run(ONE, Catalog())


def test_a_resource_that_no_worker_has(client, tmp_path):
    """Nothing runs, and the error names node and resource."""
    path = tmp_path / "ran"
    nodes = [
        node(path.touch, None, None, name="first"),
        node(os.getpid, None, "pid", name="trains", policy=NodePolicy(resources={"gpu": 1})),
    ]
    with pytest.raises(RunnerError, match=r"'trains'.*gpu"):
        DaskRunner(client=client).run(Pipeline(nodes), Catalog())
    with pytest.raises(RunnerError, match=r"'trains'.*gpu"):
        DaskRunner(client=client, resources={"gpu": 0}).run(Pipeline(nodes), Catalog())
    assert not path.exists()


def test_settings_are_restored_after_a_run(client):
    """The next user of the cluster finds levels of loggers, warning filters and limits of Python as they were."""

    def settings():
        import logging
        import sys
        import warnings

        return logging.getLogger("loom").level, len(warnings.filters), sys.getrecursionlimit()

    before = client.run(settings)
    logger, limit = logging.getLogger("loom"), sys.getrecursionlimit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BytesWarning)
        try:
            logger.setLevel(logging.ERROR)
            sys.setrecursionlimit(limit + 111)
            with DaskRunner(client=client) as runner:
                nodes = [node(settings, None, f"s{index}", name=f"n{index}") for index in range(4)]
                result = dict(runner.run(Pipeline(nodes), Catalog()))
        finally:
            logger.setLevel(logging.NOTSET)
            sys.setrecursionlimit(limit)
    assert {value[0] for value in result.values()} == {logging.ERROR}
    assert {value[2] for value in result.values()} == {limit + 111}
    end = time.monotonic() + 30
    while client.run(settings) != before:
        assert time.monotonic() < end, client.run(settings)
        time.sleep(0.02)


def test_adaptive_scaling_starts_workers_for_waiting_nodes(local_cluster, nodes_for_two_workers):
    """A cluster that has too few workers gets more for the nodes that wait."""
    local_cluster.scale(1)
    adaptive = local_cluster.adapt(minimum=1, maximum=2, interval="100 ms", target_duration="500 ms")
    try:
        with DaskRunner(cluster=local_cluster) as runner:
            result = dict(runner.run(nodes_for_two_workers(6), Catalog()))
    finally:
        adaptive.stop()
    assert len(set(result.values())) == 2


def values_that_travel():
    """Return nodes whose values go through the client, and from worker to worker."""
    return Pipeline(
        [
            node(lambda: np.full(300_000, 1.0), None, "a", name="a"),
            node(lambda: np.full(300_000, 2.0), None, "b", name="b"),
            node(lambda a, b, factor: float((a + b).sum()) * factor, ["a", "b", "factor"], "sum", name="sum"),
        ]
    )


def test_certificates_of_the_cluster_object(local_cluster):
    """Treadle's connections use those of the cluster object."""
    local_cluster.scale(2)
    local_cluster.wait_for_workers(2, timeout=60)
    with DaskRunner(cluster=local_cluster) as runner:
        assert dict(runner.run(values_that_travel(), Catalog(FACTOR))) == {"sum": 1_800_000.0}


def test_certificates_of_dasks_configuration(local_cluster, certificate):
    """With an address, the client's certificate is the one that dask's configuration names; without one, nothing is connected."""
    file, key = certificate
    with pytest.raises(RunnerError, match="names no certificates for the client"):
        DaskRunner(local_cluster.scheduler_address).run(values_that_travel(), Catalog(FACTOR))
    client = {"cert": file, "key": key}
    with dask.config.set({"distributed.comm.tls.ca-file": file, "distributed.comm.tls.client": client}):
        result = DaskRunner(local_cluster.scheduler_address).run(values_that_travel(), Catalog(FACTOR))
        assert dict(result) == {"sum": 1_800_000.0}
