"""Workers on other hosts: in a network of their own, and without the files of this machine.

A host is simulated by a network namespace and a mount namespace in which the temporary directory of the tests is empty.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import RunnerError, WorkerLostError
from treadle.execution.runners.dask import DaskRunner

HERE, THERE = "10.213.77.1", "10.213.77.2"

NOTES = """
import os
import socket

from treadle import Dataset


class Note(Dataset):
    '''Remembers what it saved in an attribute, as a dataset does that gets an id from a server.'''

    def save(self, data):
        self.content = data

    def load(self):
        return self.content


def look():
    return __file__, os.path.exists(os.path.dirname(__file__))
"""


def _commands_of_a_host(name):
    """The commands that make a network of its own, connected with this machine."""
    inside = ("ip", "-n", name)
    return [
        ("ip", "netns", "add", name),
        ("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name),
        ("ip", "addr", "add", f"{HERE}/24", "dev", f"{name}a"),
        ("ip", "link", "set", f"{name}a", "up"),
        (*inside, "addr", "add", f"{THERE}/24", "dev", f"{name}b"),
        (*inside, "link", "set", f"{name}b", "up"),
        (*inside, "link", "set", "lo", "up"),
    ]


@pytest.fixture(scope="module")
def other_host():
    """The name of a network namespace; a test that needs it is skipped where none can be made."""
    name = f"trdl{os.getpid() % 100_000}"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("needs the commands ip and unshare, to simulate another host")
    try:
        for command in _commands_of_a_host(name):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"cannot make a network namespace to simulate another host: {made.stderr.strip()}")
        yield name
    finally:
        subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)  # its links go with it


@pytest.fixture(scope="module")
def far_cluster(other_host, make_cluster):
    """A cluster whose scheduler is here."""
    return make_cluster(host=HERE)


@pytest.fixture(scope="module")
def far_client(far_cluster, other_host, tmp_path_factory):
    """A client of a cluster with one worker, which is on another host."""
    cluster = far_cluster
    with cluster.client() as client:
        address = client.scheduler.address
        hidden = tmp_path_factory.getbasetemp()
        words = ("--nthreads", "1", "--no-dashboard")
        script = 'mount -t tmpfs none "$1" && cd "$1" && mkdir tmp && export TMPDIR="$1/tmp" && shift && exec "$@"'
        before = ("ip", "netns", "exec", other_host, "unshare", "--mount", "sh", "-c", script, "sh", str(hidden))
        far = ("--host", THERE, "--name", "far", "--local-directory", str(hidden / "dask"))
        cluster.start("worker-far", address, *far, *words, before=before)
        client.wait_for_workers(1, timeout=60)
        yield client


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A module with a dataset class, which the other host does not have; temporary files of this process are not there either."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "woven_notes.py").write_text(NOTES)
    yield importlib.import_module("woven_notes")
    del sys.modules["woven_notes"]


def test_a_file_that_only_this_machine_has(far_client, tmp_path):
    """It is refused by the name of its dataset before anything runs; if it is said to be shared, each host uses its own."""
    entry = {"type": "text.TextDataset", "filepath": str(tmp_path / "yarn.txt")}
    nodes = [node(lambda: "wool", None, "yarn", name="spin"), node(len, "yarn", "length", name="measure")]
    with pytest.raises(RunnerError, match="dataset 'yarn' has its file in") as caught:
        DaskRunner(client=far_client).run(Pipeline(nodes), Catalog.from_config({"yarn": entry}))
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    catalog = Catalog.from_config({"yarn": entry})
    assert dict(DaskRunner(client=far_client, shared_file_system=True).run(Pipeline(nodes), catalog)) == {"length": 4}
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_object_with_a_file_that_only_this_machine_has(far_client, tmp_path):
    """A dataset that was given as an object is refused, too."""
    from treadle.io.datasets.text import TextDataset

    catalog = Catalog({"yarn": TextDataset(tmp_path / "yarn.txt")})
    with pytest.raises(RunnerError, match="dataset 'yarn' has its file in"):
        DaskRunner(client=far_client).run(Pipeline([node(lambda: "wool", None, "yarn", name="spin")]), catalog)


def test_code_and_the_state_of_datasets_reach_another_host(far_client, notes):
    """A node imports the project's module there, and what saving there set on a dataset is known here."""
    catalog = Catalog.from_config({"note": {"type": "woven_notes.Note"}})
    nodes = [
        node(notes.look, None, ["file", "exists"], name="look"),
        node(lambda: "written far away", None, "note", name="write"),
        node(len, "note", "length", name="read"),
    ]
    result = dict(DaskRunner(client=far_client).run(Pipeline(nodes), catalog))
    assert result["length"] == len("written far away")
    assert result["exists"]
    assert result["file"] != notes.__file__
    assert catalog["note"].content == "written far away"


def test_a_node_that_kills_a_worker_on_another_host(far_client):
    """It is named, because the worker's nanny says which node ran; short nodes that had finished do not run again."""
    marks = tempfile.mkdtemp()  # which both hosts see

    def mark(name):
        with Path(marks, name).open("a") as file:
            file.write(".")

    nodes = [node(partial(mark, f"n{index}"), None, None, name=f"mark_{index}") for index in range(30)]
    nodes.append(node(lambda: os.kill(os.getpid(), signal.SIGKILL), None, None, name="dies"))
    try:
        with DaskRunner(client=far_client, on_failure="continue") as runner, pytest.raises(WorkerLostError) as caught:
            runner.run(Pipeline(nodes), Catalog())
        assert caught.value.node == "dies"
        assert {path.name: path.read_text() for path in Path(marks).iterdir()} == {f"n{index}": "." for index in range(30)}
    finally:
        shutil.rmtree(marks)


def test_values_move_between_hosts(far_client, far_cluster, attend_at, caplog):
    """A large value that was made on one host is used on both; log records name the worker's address."""
    address = far_client.scheduler.address
    words = ("--host", HERE, "--name", "near", "--nthreads", "1", "--no-dashboard", "--no-nanny")
    far_cluster.start("worker-near", address, *words)
    far_client.wait_for_workers(2, timeout=60)
    attend = attend_at(HERE)

    def use(array):
        attend()
        logging.getLogger("yarn").warning("sum %s", array.sum())
        return float(array.sum())

    nodes = [node(lambda: np.ones(1_000_000), None, "made", name="make")]
    nodes += [node(use, "made", f"sum_{index}", name=f"use_{index}") for index in range(2)]
    with caplog.at_level(logging.WARNING):
        assert set(dict(DaskRunner(client=far_client).run(Pipeline(nodes), Catalog())).values()) == {1_000_000.0}
    workers = {record.worker.partition("@")[2].partition(":")[0] for record in caplog.records if record.name == "yarn"}
    assert workers == {HERE, THERE}
