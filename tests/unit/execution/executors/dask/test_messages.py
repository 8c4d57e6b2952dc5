"""Everything that a driver and a dask worker send each other can be pickled and restored."""

from __future__ import annotations

import pickle

import pytest

from treadle.execution.executors.dask import messages
from treadle.execution.executors.dask.host import Installed
from treadle.execution.executors.dask.messages import (
    ClusterValue,
    DatasetPart,
    EndKeepAlive,
    InputsLost,
    Opened,
    Pushed,
    QueuedJob,
    RunFiles,
    ShutDown,
    TaskEnded,
    UseBlackboard,
)
from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import Job

JOB = Job(3, (1, 2), ((0, ClusterValue(2, 1 << 20, "tcp://10.0.0.1:1", "pool")), (4, Inline(b"data"))), ((0, 1),), (5,))
MESSAGES = [
    ClusterValue(2, 1 << 20, "tcp://10.0.0.1:1", "pool"),
    DatasetPart("orders", b"pickle", ("secret",)),
    InputsLost(3, (1, 2), "tcp://10.0.0.1:1", "it was released"),
    Opened("/tmp/board"),
    Installed(True, {"python": "3.11.7"}, ["/data/.treadle-1"], "tcp://10.0.0.1:2", ("4d1c", 42)),
    Pushed(b"data", (b"buffer",)),
    RunFiles(3, (("state-1", b"content"),)),
    ShutDown(),
    EndKeepAlive(),
    QueuedJob(7, JOB, (DatasetPart("orders", b"pickle", ()),)),
    TaskEnded(7),
    UseBlackboard(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_can_be_pickled(message):
    """It is equal to what was sent, and of the same type."""
    restored = pickle.loads(pickle.dumps(message, protocol=5))
    assert type(restored) is type(message)
    assert restored == message


def test_no_message_is_left_out():
    """Each type of the module is tested here."""
    defined = {each for each in vars(messages).values() if isinstance(each, type) and each.__module__ == messages.__name__}
    assert defined <= {type(message) for message in MESSAGES}
