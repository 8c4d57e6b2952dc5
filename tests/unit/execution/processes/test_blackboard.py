"""The blackboard: the running node of each worker, readable by other processes even after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from treadle.execution.processes.blackboard import Blackboard, FinishedNode, WorkerEntry


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "board")


def test_a_new_board_is_empty(path):
    """Every entry of a new blackboard is idle, and the file is private."""
    board = Blackboard(path, 3)
    assert [board.read(place) for place in range(3)] == [WorkerEntry(0, None, 0.0, 0)] * 3
    assert Path(path).stat().st_mode & 0o777 == 0o600
    board.close()


def test_entries_are_independent(path):
    """A worker writes only its own entry."""
    board = Blackboard(path, 2)
    board.begin(1, 7, 42, 12.5)
    board.set_peak_memory(1, 1_000)
    assert board.read(0) == WorkerEntry(0, None, 0.0, 0)
    assert board.read(1) == WorkerEntry(7, 42, 12.5, 1_000)
    board.begin(1, 7, 43, 13.5)
    assert board.read(1) == WorkerEntry(7, 43, 13.5, 1_000)
    board.end(1)
    assert board.read(1) == WorkerEntry(7, None, 13.5, 1_000)
    board.clear(1)
    assert board.read(1) == WorkerEntry(0, None, 0.0, 0)
    board.close()


def test_the_entry_of_a_killed_process_stays_readable(path):
    """The entry of a process is readable after it was killed."""
    board = Blackboard(path, 1)
    script = (
        "import os, signal, sys\nfrom treadle.execution.processes.blackboard import Blackboard\n"
        "Blackboard(sys.argv[1]).begin(0, 3, 5, 1.5)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -signal.SIGKILL
    assert board.read(0) == WorkerEntry(3, 5, 1.5, 0)
    board.close()


def test_finished_nodes_are_recorded_in_order(path):
    """The nodes after the given count are returned, at most the latest that fit; a new worker starts empty."""
    board = Blackboard(path, 2)
    for node in range(3000):
        board.begin(0, 7, node, node + 0.25)
        board.finish(0, 7, node, node + 0.25, node + 0.5)
        board.end(0)
    assert board.finished_after(0, 2997) == [FinishedNode(7, node, node + 0.25, node + 0.5) for node in (2997, 2998, 2999)]
    assert [done.node for done in board.finished_after(0, 0)] == list(range(1720, 3000))
    assert board.finished_after(0, 3000) == board.finished_after(1, 0) == []
    assert board.read(0) == WorkerEntry(7, None, 2999.25, 0)
    board.clear(0)
    assert board.finished_after(0, 0) == []
    board.close()
