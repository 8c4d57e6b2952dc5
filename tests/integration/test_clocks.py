"""The wall clock is set in the middle of a run: it is for showing; how long something took, or may take, is not its business."""

from __future__ import annotations

import time

import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.errors import NodeError, NodeTimeoutError
from treadle.events import NodeFailed, NodeFinished, NodeStarted, RunFinished, RunStarted

_real = time.time


def _set_back():
    time.time = lambda: _real() - 3600


@pytest.fixture(autouse=True)
def right_again():
    """In this process, whatever happens."""
    yield
    time.time = _real


def test_durations(any_runner):
    """Nodes that set the clock back an hour, where they run, and fail or end well: no duration is negative."""

    def jump():
        time.time = lambda: _real() - 3600
        return "jumped"

    def put_back(_jumped):
        time.time = _real
        return "done"

    def jump_and_fail(_done):
        time.time = lambda: _real() - 3600
        raise ValueError("late")

    events = []
    nodes = [
        node(jump, None, "jumped", name="jumps"),
        node(put_back, "jumped", "done", name="puts_back"),
    ]
    any_runner.run(Pipeline(nodes), Catalog(), observers=(events.append,))
    with pytest.raises(NodeError):
        any_runner.run(Pipeline([node(jump_and_fail, "done", "x")]), Catalog({"done": "done"}), observers=(events.append,))
    seconds = [event.at - event.started for event in events if isinstance(event, (NodeFinished, NodeFailed))]
    assert len(seconds) == 3
    assert all(0 <= each < 600 for each in seconds)


def test_the_length_of_a_run(any_runner):
    """The parent's clock is set back while a node runs."""
    events = []

    def observe(event):
        events.append(event)
        if isinstance(event, NodeStarted):
            _set_back()

    any_runner.run(Pipeline([node(lambda: 1, None, "x")]), Catalog(), observers=(observe,))
    (begun,) = [event.at for event in events if isinstance(event, RunStarted)]
    (ended,) = [event.at for event in events if isinstance(event, RunFinished)]
    assert 0 <= ended - begun < 600


def test_a_timeout(parallel_runner):
    """It comes when it is due."""

    def hang():
        time.sleep(120)

    def observe(event):
        if isinstance(event, NodeStarted):
            _set_back()

    pipeline = Pipeline([node(hang, None, None, name="hangs", policy=NodePolicy(timeout=0.3))])
    with pytest.raises(NodeTimeoutError) as caught:
        parallel_runner.run(pipeline, Catalog(), observers=(observe,))
    assert 0.3 <= caught.value.elapsed < 60


def test_advice_of_a_timeout_in_the_main_process(any_runner, way):
    """Nobody is advised to use the runner that is in use."""

    def dawdle():
        time.sleep(0.05)

    pipeline = Pipeline([node(dawdle, None, None, name="slow", policy=NodePolicy(timeout=0.01))])
    with pytest.raises(NodeTimeoutError) as caught:
        any_runner.run(pipeline, Catalog())
    assert "runner='parallel'" not in str(caught.value)
    assert ("main process" in str(caught.value)) == (way in ("sequential", "thread"))
