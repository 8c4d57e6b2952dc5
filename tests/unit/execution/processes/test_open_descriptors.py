"""Which descriptors count as Treadle's own; `test_start_method.py` has the kinds that a fork could damage, in real processes."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from treadle.execution.processes import open_descriptors
from treadle.execution.processes.open_descriptors import own_descriptors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists descriptors in /proc")


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """The set of Treadle's own sockets and pipes, empty at first."""
    empty = set()
    monkeypatch.setattr(open_descriptors, "_own", empty)
    return empty


def _identity(opened):
    status = os.fstat(opened.fileno())
    return status.st_dev, status.st_ino


def test_what_is_opened_inside_is_own_until_it_is_closed(own, monkeypatch):
    """What was open before is not, and nested blocks lose nothing."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # other tests may have left threads
    with socket.socket() as before:
        with own_descriptors():
            inner = socket.socket()
            with own_descriptors():
                innermost = socket.socket()
        assert own == {_identity(inner), _identity(innermost)}
        assert _identity(before) not in own
        inner.close()
        with own_descriptors():
            pass
        assert own == {_identity(innermost)}
        innermost.close()


def test_nothing_is_noted_beside_another_thread(own):
    """That thread may open a connection of the application in the meantime."""
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    with own_descriptors():
        opened = socket.socket()
    release.set()
    other.join()
    opened.close()
    assert not own
