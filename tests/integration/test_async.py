"""Asynchronous loading and saving, under every way to run."""

from __future__ import annotations

import threading

import pytest

from treadle import Catalog, Dataset, NodeError, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node

WAYS = ["sequential", "thread", "fork", "spawn", "forkserver", "loky"]


def make_runner(way):
    """An asynchronous runner of the given way."""
    if way in ("sequential", "thread"):
        return SequentialRunner(is_async=True) if way == "sequential" else ThreadRunner(2, is_async=True)
    return ParallelRunner(2, start_method=way, is_async=True)


def make_meeting():
    """Datasets that can be loaded only while another one is being loaded."""

    class Meeting(Dataset):
        barrier = None

        def __init__(self, value):
            self.value = value

        def load(self):
            kind = type(self)
            with _lock():
                kind.barrier = kind.barrier or threading.Barrier(2, timeout=30)
            kind.barrier.wait()
            return self.value

        def save(self, data):
            self.value = data

    lock = threading.Lock

    def _lock():
        if not hasattr(threading, "_meeting_lock"):
            threading._meeting_lock = lock()
        return threading._meeting_lock

    return Meeting


@pytest.mark.parametrize("way", WAYS)
def test_inputs_are_loaded_at_the_same_time(way):
    """Two inputs that wait for each other while they are loaded both arrive, in their order."""
    meeting = make_meeting()
    catalog = Catalog({"left": meeting("l"), "right": meeting("r")})
    pipeline = Pipeline([node(lambda left, right: left + right, ["left", "right"], "both", name="join")])
    assert make_runner(way).run(pipeline, catalog)["both"] == "lr"


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_load_names_its_dataset(way):
    """An error in one of the threads is the node's, with the dataset that it belongs to."""

    class Broken(Dataset):
        def load(self):
            msg = "no such thing"
            raise OSError(msg)

        def save(self, data):
            raise AssertionError(data)

    catalog = Catalog({"good": 1, "bad": Broken()})
    pipeline = Pipeline([node(lambda good, bad: (good, bad), ["good", "bad"], "both", name="join")])
    with pytest.raises(NodeError) as caught:
        make_runner(way).run(pipeline, catalog)
    assert (caught.value.node, caught.value.failure.dataset, caught.value.failure.phase) == ("join", "bad", "load")
