"""The link to a dask worker: its end is reported, whatever ends it."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from treadle.execution.executors.dask.code import ProjectCode
from treadle.execution.executors.dask.link import Ended, Link


class Stream:
    """A stream with one message, which cannot be unpickled."""

    is_open = True

    async def read(self):
        return b"not a pickle"

    def abort(self):
        self.is_open = False


def test_a_message_that_cannot_be_read_ends_the_link(monkeypatch):
    """The run learns that the worker is lost, and does not wait for it."""
    stream, seen = Stream(), []

    async def open_stream(link, *_arguments):
        link._comm = stream

    monkeypatch.setattr(Link, "_open", open_stream)
    link = Link(None, "tcp://nowhere", 1, "pool", lambda _link, message: seen.append(message))
    with pytest.raises(pickle.UnpicklingError):
        asyncio.run(link.run(b"", ProjectCode("", b""), {}))
    assert seen == [Ended(None)]
    assert not stream.is_open
