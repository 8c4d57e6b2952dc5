"""The link to a dask worker: its end is reported, whatever ends it."""

from __future__ import annotations

import asyncio
import pickle
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from distributed.security import Security

from treadle.execution.executors.dask import link as links
from treadle.execution.executors.dask.blackboard_file import BlackboardReader
from treadle.execution.executors.dask.code import ProjectCode
from treadle.execution.executors.dask.exits import Exit
from treadle.execution.executors.dask.link import Ended, Link


class Stream:
    """A stream with one message, which cannot be unpickled."""

    is_open = True

    async def read(self):
        return b"not a pickle"

    def abort(self):
        self.is_open = False


class Ending(Stream):
    """A stream whose other end is gone."""

    async def read(self):
        raise OSError


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


@pytest.mark.parametrize("nanny", ["tcp://nanny", None])
def test_a_worker_is_killed_when_its_machine_answers_again(monkeypatch, run_slowly, late, nanny):
    """Its node has reached its timeout, and would keep the run waiting for ever."""
    killed = []

    class Slow:
        def __init__(self, address):
            self.address = address

        async def treadle_kill(self, **_arguments):
            await late(10)
            await asyncio.sleep(0.1)
            killed.append(self.address)

        async def run(self, **_arguments):
            await self.treadle_kill()

    @asynccontextmanager
    async def connect(_client, address):
        yield Slow(address)

    monkeypatch.setattr(links, "remote", connect)
    monkeypatch.setattr(links, "KILL", "treadle_kill")
    link = Link(None, "tcp://worker", 1, "pool", lambda *_: None)
    link._blackboard = BlackboardReader("there", nanny)
    run_slowly(link.kill())
    assert killed == ["tcp://worker"] if nanny is None else nanny in killed


@pytest.mark.parametrize("nanny", ["tcp://nanny", None])
def test_closing_waits_for_nannies_only(monkeypatch, run_slowly, late, nanny):
    """A worker without one, whose node is compiled code, would not be ended however long Ctrl-C waits for it."""

    class Blocked:
        async def treadle_kill(self, **_arguments):
            await asyncio.Event().wait()

        run = treadle_kill

    @asynccontextmanager
    async def connect(_client, _address):
        yield Blocked()

    monkeypatch.setattr(links, "remote", connect)
    monkeypatch.setattr(links, "KILL", "treadle_kill")
    link = Link(None, "tcp://worker", 1, "pool", lambda *_: None)
    link._blackboard = BlackboardReader("there", nanny)

    async def is_closed_after(*pauses):
        closing = asyncio.ensure_future(link.kill_to_close())
        found = []
        for seconds in pauses:
            for _ in range(20):
                await asyncio.sleep(0)
            await late(seconds)
            for _ in range(20):
                await asyncio.sleep(0)
            found.append(closing.done())
        return found

    assert run_slowly(is_closed_after(0, 2, 10)) == [False, nanny is None, True]


@pytest.mark.parametrize("content", [b"what it did last", None])
def test_a_nanny_that_died_with_its_worker_is_given_up_soon(monkeypatch, tmp_path, content):
    """The nodes of the worker run elsewhere then; dask itself would try for 30 s to connect to a nanny that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    if content is not None:
        (tmp_path / "board").write_bytes(content)
    seen = []

    async def open_stream(link, *_arguments):
        link._comm, link._blackboard, link.ready = Ending(), BlackboardReader(str(tmp_path / "board"), gone), True

    monkeypatch.setattr(Link, "_open", open_stream)
    monkeypatch.setattr(links, "_CONNECT_SECONDS", 0.1)
    client = SimpleNamespace(security=Security())
    link = Link(client, gone, 1, "pool", lambda _link, message: seen.append(message))
    asyncio.run(asyncio.wait_for(link.run(b"", ProjectCode("", b""), {}), 20))
    assert seen == [Ended(None, content, Exit())]
