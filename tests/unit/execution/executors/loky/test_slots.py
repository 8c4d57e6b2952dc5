"""SlotPool: calls from other threads, and what is sent to a worker."""

from __future__ import annotations

import os
import selectors
import socket
from functools import partial
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


@pytest.mark.timeout(60)
def test_the_reports_of_a_wait_count_as_handed_over_once_the_next_one_begins():
    """Only then is it certain that the caller has received them; this holds for each slot by itself."""

    def message_received(slot, message, _descriptors):
        slot.reported += 1
        return [message]

    pool = SlotPool(2, StartMethod.FORK, lambda _scratch: SimpleNamespace(), SimpleNamespace(message_received=message_received))
    workers = {}
    try:
        for number, slot in pool.slots.items():
            ours, theirs = socket.socketpair()
            slot.channel, workers[number] = Channel(ours, blocking=False), Channel(theirs, blocking=True)
            receive = partial(pool._exchange, slot, slot.channel)
            pool._selector.register(slot.channel, selectors.EVENT_READ, receive)

        def counts():
            return [(slot.reported, slot.handed_over) for slot in pool.slots.values()]

        workers[1].send("first")
        assert (pool.wait(30), counts()) == (["first"], [(1, 0), (0, 0)])
        workers[2].send("second")
        assert (pool.wait(30), counts()) == (["second"], [(1, 1), (1, 0)])
        assert (pool.wait(0), counts()) == ([], [(1, 1), (1, 1)])
    finally:
        for number, slot in pool.slots.items():
            pool._selector.unregister(slot.channel)
            slot.channel.close()
            slot.channel = None
            workers[number].close()
        pool.close()
