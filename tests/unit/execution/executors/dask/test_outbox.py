"""Facts on their way from a dask worker to the driver."""

from __future__ import annotations

import asyncio
import pickle
import threading
from queue import SimpleQueue

import pytest

from treadle.execution.executors.dask.outbox import _BATCH, Outbox


class Comm:
    """A stream that keeps what is written."""

    def __init__(self):
        self.written = SimpleQueue()

    async def write(self, data):
        self.written.put(pickle.loads(data))


@pytest.fixture
def loop():
    """An event loop that runs in a thread."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def test_a_fact_after_a_full_message_is_sent_in_time(loop):
    """The fact that makes a message full may be the first since the last timer: the next one starts a timer again."""
    comm = Comm()
    outbox = Outbox(comm, loop)
    for number in range(_BATCH - 1):
        outbox.post(number)
    outbox.post_soon("full")
    assert len(comm.written.get(timeout=60)) == _BATCH
    outbox.post_soon("next")
    assert comm.written.get(timeout=60) == ["next"]
