"""What the processes of a dask cluster learn of a run: credentials only where a node needs them."""

from __future__ import annotations

import importlib
import logging
import secrets
import sys
import traceback

import pytest

from treadle import Catalog, NodeError, Pipeline, node
from treadle.execution.runners.dask import DaskRunner
from treadle.secrets import register_secrets

SHELVES = """
from treadle import Dataset


class Shelf(Dataset):
    def __init__(self, credentials):
        self._key = credentials["key"]

    def load(self):
        return len(self._key)

    def save(self, data):
        raise NotImplementedError
"""


@pytest.fixture
def shelves(tmp_path, monkeypatch):
    """The name of a dataset class with credentials, in a module that workers do not have."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "woven_shelves.py").write_text(SHELVES)
    yield f"{importlib.import_module('woven_shelves').__name__}.Shelf"
    del sys.modules["woven_shelves"]


def _find():
    def find(first, second):
        """Return whether two parts of a secret stand side by side in this process's memory. They are never joined here."""
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:  # noqa: PTH123 - imports nothing
            for line in maps:
                span, mode = line.split()[:2]
                if not mode.startswith("rw"):
                    continue
                start, end = (int(each, 16) for each in span.split("-"))
                try:
                    memory.seek(start)
                    content = memory.read(end - start)
                except OSError:  # a mapping of a device
                    continue
                place = content.find(first)
                while place >= 0:
                    if content.startswith(second, place + len(first)):
                        return True
                    place = content.find(first, place + 1)
        return False

    return find  # a function within a function is pickled by value: workers do not have this module


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/mem")
def test_credentials_are_only_in_workers_whose_nodes_need_them(client, shelves, attend):
    """A worker has the credentials of its own nodes' datasets, the scheduler has none, and nobody has those of unused ones."""
    keys = {name: (secrets.token_hex(12), secrets.token_hex(12)) for name in ("left", "right", "unused")}
    entries = {name: {"type": shelves, "credentials": f"{name}_login"} for name in keys}
    catalog = Catalog.from_config(entries, {f"{name}_login": {"key": "".join(key)} for name, key in keys.items()})

    def use(length):
        attend()
        return length

    nodes = [node(use, name, f"{name}_length", name=f"use_{name}") for name in ("left", "right")]
    find = _find()
    with DaskRunner(client=client, shared_file_system=True) as runner:
        assert dict(runner.run(Pipeline(nodes), catalog)) == {"left_length": 48, "right_length": 48}
        workers_with_values = {}
        for name, key in keys.items():
            parts = [each.encode() for each in key]
            workers_with_values[name] = {worker for worker, found in client.run(find, *parts).items() if found}
            assert not client.run_on_scheduler(find, *parts), name
    assert [len(workers_with_values[name]) for name in ("left", "right", "unused")] == [1, 1, 0]
    assert workers_with_values["left"] != workers_with_values["right"]


def test_a_secret_that_a_worker_does_not_know_is_masked_by_the_driver(client, caplog, capfd):
    """A node logs and prints the value of an input that the driver knows to be a secret."""
    token = secrets.token_hex(12)
    register_secrets({"token": token})

    def tell(token):
        logging.getLogger("yarn").warning("token %s", token)
        print("printed", token)
        return len(token)

    with caplog.at_level(logging.WARNING), DaskRunner(client=client) as runner:
        runner.run(Pipeline([node(tell, "token", "length", name="tell")]), Catalog({"token": token}))
    assert [record.getMessage() for record in caplog.records if record.name == "yarn"] == ["token ***"]
    assert "printed ***" in capfd.readouterr().out


@pytest.mark.parametrize("kind", [str, int])
def test_an_exception_with_a_secret_that_a_worker_does_not_know(client, kind):
    """It is the cause of the error that the driver raises, so it is masked there, too, even if the secret is a number in it."""
    secret = kind(secrets.randbelow(10**12) + 10**12)
    register_secrets({"token": secret})

    def fail(token):
        raise KeyError("no such token", token)

    with DaskRunner(client=client) as runner, pytest.raises(NodeError) as caught:
        runner.run(Pipeline([node(fail, "token", "length", name="fail")]), Catalog({"token": secret}))
    assert "no such token" in str(caught.value.__cause__)
    assert str(secret) not in "".join(traceback.format_exception(caught.value))
