"""SlotPool: calls from other threads, and what is sent to a worker."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from treadle.execution.executors.loky.slots import SlotPool
from treadle.execution.processes.channel import Channel
from treadle.execution.processes.start_method import StartMethod


@pytest.mark.timeout(60)
def test_waking_never_blocks():
    """While the pool closes, no thread reads the wake-up socket: waking it must not block, however often that happens."""
    pool = SlotPool(1, StartMethod.FORK, lambda _scratch: SimpleNamespace(), SimpleNamespace())
    try:
        for _ in range(10_000):
            pool.wake()
        assert pool.wait(0) == []
    finally:
        pool.close()
    assert not pool.is_open


@pytest.mark.timeout(60)
def test_messages_that_are_sent_with_descriptors_keep_their_order():
    """The descriptors go with the last one; the messages before it arrive, too."""
    pool = SlotPool(1, StartMethod.FORK, lambda _scratch: SimpleNamespace(), SimpleNamespace())
    ours, theirs = socket.socketpair()
    slot, worker = pool.slots[1], Channel(theirs, blocking=True)
    slot.channel = Channel(ours, blocking=False)
    try:
        pool.send(slot, ("first", "second", "third"), [os.dup(0)])
        pool.flush()
        received = [worker.receive() for _ in range(3)]
        assert [(message, len(descriptors)) for message, descriptors in received] == [("first", 0), ("second", 0), ("third", 1)]
        os.close(received[2][1][0])
    finally:
        slot.channel.close()
        slot.channel = None
        worker.close()
        pool.close()
