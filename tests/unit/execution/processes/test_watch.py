"""The watch over the parent: a worker ends when the parent does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from treadle.execution.processes import watch
from treadle.execution.processes.watch import peak_memory, watch_parent


@pytest.fixture
def sleeper():
    """A process that runs until it is terminated."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def watched(pid):
    """Watch a process; return the events of its end and of the first note, and the notes."""
    gone, noted, peaks = threading.Event(), threading.Event(), []

    def note(peak):
        peaks.append(peak)
        noted.set()

    watch_parent(pid, on_exit=gone.set, on_sample=note)
    return gone, noted, peaks


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_the_end_of_the_parent_is_noticed(sleeper, monkeypatch, has_pidfd):
    """When the watched process has ended or was killed, `on_exit` is called; until then memory is sampled."""
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    gone, noted, peaks = watched(sleeper.pid)
    assert noted.wait(30)
    assert not gone.is_set()
    assert peaks[0] > 1_000_000
    sleeper.kill()
    sleeper.wait()
    assert gone.wait(30)


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_a_parent_that_has_ended_already_is_noticed(sleeper, monkeypatch, has_pidfd):
    """`on_exit` is called for a parent that ended before the watch started."""
    sleeper.kill()
    sleeper.wait()
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    gone, _noted, _peaks = watched(sleeper.pid)
    assert gone.wait(30)


def test_a_kernel_that_refuses_pidfd_is_no_problem(sleeper, monkeypatch):
    """If pidfd_open exists and is forbidden, psutil is used."""

    def refuse(_pid):
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    gone, noted, _peaks = watched(sleeper.pid)
    assert noted.wait(30)
    sleeper.kill()
    sleeper.wait()
    assert gone.wait(30)


def test_peak_memory_is_in_bytes(monkeypatch):
    """Linux reports kilobytes, macOS bytes."""
    here = peak_memory()
    assert here > 10_000_000
    monkeypatch.setattr(watch.sys, "platform", "darwin")
    assert peak_memory() < here
