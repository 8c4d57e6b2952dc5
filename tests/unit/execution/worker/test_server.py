"""The loop of a worker: what it does before it waits for commands."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace

import pytest

from treadle.execution.processes.heap import MIN_TRANSFERRED_BYTES, Heap
from treadle.execution.protocol.handles import Segment
from treadle.execution.protocol.messages import Stop, Transfer
from treadle.execution.worker.server import _Server


@pytest.fixture
def calls():
    """What the worker did, in order."""
    return []


@pytest.fixture
def server(calls):
    """Return the server of a worker that has values of a run, without a parent."""
    made = _Server.__new__(_Server)  # without its thread
    made._worker = SimpleNamespace(number=1)
    made._channel = SimpleNamespace(
        post=lambda *_message: None,
        flush=lambda: calls.append("flush"),
        receive_all=lambda: calls.append("receive") or [(Stop(), [])],
        wait_readable=lambda _seconds: calls.append("wait") or made.is_busy,
    )
    made.is_busy = False  # whether the next command arrives soon
    made._heap = Heap()
    trim = made._heap.trim
    made._heap.trim = lambda: calls.append("trim") or trim()
    made._commands, made._lock, made._reading = deque(), threading.Lock(), threading.Lock()
    made._last_cancel_check = 0.0
    made._runs = {1: SimpleNamespace(publish=lambda dataset, _spare: Segment(dataset, ((0, dataset),), "path"))}
    return made


def test_an_idle_worker_returns_the_memory_of_large_values_that_it_has_transferred(server, calls):
    """After the parent has got them, and once."""
    server._publish(Transfer(1, MIN_TRANSFERRED_BYTES // 2), [])
    server._publish(Transfer(1, MIN_TRANSFERRED_BYTES // 2), [])
    calls.clear()
    server._next_command()
    server._next_command()
    assert calls == ["flush", "wait", "trim", "receive", "flush", "receive"]


def test_the_memory_of_a_transferred_value_is_returned_before_the_next_is_copied(server, calls):
    """A worker that transfers several large values one after the other is not idle in between."""
    copy = server._runs[1].publish
    server._runs[1].publish = lambda *arguments: calls.append("copy") or copy(*arguments)
    for _ in range(3):
        server._publish(Transfer(1, MIN_TRANSFERRED_BYTES), [])
    assert [each for each in calls if each != "flush"] == ["copy", "trim", "copy", "trim", "copy"]


def test_a_worker_that_gets_its_next_job_soon_is_not_delayed(server, calls):
    """It returns the memory when it is idle the next time."""
    server._publish(Transfer(1, MIN_TRANSFERRED_BYTES), [])
    server.is_busy = True
    server._next_command()
    assert "trim" not in calls
    server.is_busy = False
    server._next_command()
    assert "trim" in calls


def test_an_idle_worker_returns_the_memory_of_its_last_node(server, calls):
    """Once. A busy one keeps it for its next node."""
    server.is_busy = True
    assert not server._heap.node_ended(0.1)
    server._next_command()
    server.is_busy = False
    server._next_command()
    server._next_command()
    assert calls == ["flush", "wait", "receive", "flush", "wait", "trim", "receive", "flush", "receive"]


def test_small_transfers_are_not_worth_a_trim(server, calls):
    server._publish(Transfer(1, MIN_TRANSFERRED_BYTES - 1), [])
    server._next_command()
    assert "trim" not in calls
