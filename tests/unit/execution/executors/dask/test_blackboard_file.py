"""The blackboard of a dask worker, as it is read after the worker has died."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from treadle.execution.executors.dask.blackboard_file import (
    BlackboardReader,
    last_nodes,
    make_blackboard,
    ran_in,
    take_blackboard,
)


def test_what_a_dead_worker_did_last():
    """The node that it ran, and the nodes that it had finished and not reported; the file is removed."""
    board = make_blackboard("pool")
    for node in range(3):
        board.blackboard.begin(0, 7, node, 10.0 + node)
        board.blackboard.finish(0, 7, node, 10.0 + node, 11.0 + node)
    board.blackboard.begin(0, 7, 3, 13.0)
    content = take_blackboard(board.path)
    assert take_blackboard(board.path) is None
    started, finished = last_nodes(content, 7, reported=1)
    assert (started.node, started.at) == (3, 13.0)
    assert [(done.node, done.at) for done in finished] == [(1, 12.0), (2, 13.0)]
    assert last_nodes(content, 8, reported=3) == (None, [])
    assert (ran_in(content, 7), ran_in(content, 8)) == (True, False)


def test_files_of_processes_that_ended_are_removed():
    """Another pool on the machine removes what nobody has read for long, not what a driver may be about to read."""
    code = "from treadle.execution.executors.dask.blackboard_file import make_blackboard; print(make_blackboard('dead').path)"
    left = Path(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    first = make_blackboard("one")
    assert left.exists()
    for path in (left, first.path):
        os.utime(path, (0, 0))
    second = make_blackboard("two")
    assert not left.exists()
    assert Path(first.path).exists()
    for board in (first, second):
        board.remove()
        board.remove()


@pytest.mark.parametrize(("seconds", "content"), [(10, b"content"), (100, None)])
def test_a_nanny_on_a_slow_disk_is_waited_for(tmp_path, run_slowly, late, seconds, content):
    """Without the content, the nodes that the worker had finished would run again. A nanny that is gone is asked nothing else."""

    class Nanny:
        async def run(self, **_arguments):
            await late(seconds)
            return {"status": "OK", "result": b"content"}

    @asynccontextmanager
    async def connect(_address):
        yield Nanny()

    reader = BlackboardReader(str(tmp_path / "on another host"), "tcp://nanny")
    assert run_slowly(reader.read(connect)) == content
    assert (reader.nanny is None) == (content is None)
