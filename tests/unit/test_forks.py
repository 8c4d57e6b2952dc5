"""Locks in forked children."""

from __future__ import annotations

import os
import re
import threading
import warnings
from pathlib import Path

import pytest

import treadle
from treadle import forks
from treadle.execution.processes.start_method import other_thread
from treadle.forks import ForkSafeThread, fork_safe, fork_safe_threads, ready_to_fork


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock, threading.Condition])
def test_a_lock_that_another_thread_holds_is_free_in_a_forked_child(kind):
    """Nobody would ever release it there; in the parent it stays held."""
    lock, held, release = fork_safe(kind()), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about forks beside threads
        child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(timeout=5) else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    taken = lock.acquire(blocking=False)
    release.set()
    holder.join()
    assert (status, taken) == (0, False)


def test_a_thread_that_ends_before_a_fork():
    """It ends and is started again around a fork, in the parent only; it does not count as a thread that a fork would meet."""
    log, begun, alone, other = [], threading.Semaphore(0), _is_alone(), other_thread()

    def work(ending):
        log.append("begin")
        begun.release()
        ending.wait()
        log.append("end")

    thread = ForkSafeThread(work, "own", lambda: log.append("forgotten"))
    thread.start()
    assert begun.acquire(timeout=60)
    assert fork_safe_threads() == {thread.native_id}
    assert other_thread() == other
    with warnings.catch_warnings():
        if alone:
            warnings.simplefilter("error")  # Python 3.12 warns of a fork beside another thread
        else:
            warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0 if log == ["begin", "end", "forgotten"] and thread.native_id is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert begun.acquire(timeout=60)
    assert thread.stop(60)
    assert log == ["begin", "end", "begin", "end"]
    assert fork_safe_threads() == set()
    assert os.waitstatus_to_exitcode(_forked(log)) == 0


def test_a_thread_that_is_stopped_during_a_fork_is_not_started_again():
    """Another thread may stop it between the two hooks of a fork; so it never works after `stop` has returned."""
    thread = ForkSafeThread(lambda ending: ending.wait(), "own", lambda: None)
    thread.start()
    thread.before_fork()
    assert thread.stop(60)
    thread.after_fork_in_parent()
    assert thread.native_id is None


def test_a_thread_that_is_started_during_a_fork_is_not_started_twice():
    """The thread that was started anew goes on, and is the one that `stop` ends."""
    begun, ended = [], []

    def work(ending):
        begun.append(ending)
        ending.wait()
        ended.append(ending)

    thread = ForkSafeThread(work, "own", lambda: None)
    thread.start()
    thread.before_fork()
    assert thread.stop(60)
    thread.start()
    thread.after_fork_in_parent()
    assert thread.stop(60)
    assert len(begun) == 2
    assert ended == begun


def test_a_thread_that_is_started_while_it_still_ends():
    """A second one, beside it, would do the same work; it is started when the first one has ended."""
    begun, ending, may_end = threading.Semaphore(0), threading.Event(), threading.Event()

    def work(asked_to_end):
        begun.release()
        asked_to_end.wait()
        ending.set()
        may_end.wait(60)

    thread = ForkSafeThread(work, "own", lambda: None)
    thread.start()
    assert not thread.stop(0)
    assert ending.wait(60)
    thread.start()
    assert begun.acquire(timeout=60)
    assert not begun.acquire(blocking=False)
    may_end.set()
    assert begun.acquire(timeout=60)
    assert thread.stop(60)


def test_a_fork_waits_for_a_thread_that_gets_no_cpu(monkeypatch):
    """Python would warn of a fork beside a thread whose work is over, but which the system has not ended yet."""
    thread, looks, moments = (
        ForkSafeThread(lambda ending: ending.wait(), "own", lambda: None),
        iter([True, True, False]),
        iter(range(9)),
    )
    thread.start()
    monkeypatch.setattr(forks.time, "monotonic", lambda: 0.3 * next(moments))
    monkeypatch.setattr(forks.os.path, "exists", lambda _path: next(looks))
    thread.before_fork()
    monkeypatch.undo()
    assert list(looks) == []
    thread.after_fork_in_parent()
    assert thread.stop(60)


def test_a_thread_goes_on_after_two_forks_at_once():
    """The second fork finds no thread, which the first one has ended; the thread is started again when both have ended."""
    thread = ForkSafeThread(lambda ending: ending.wait(), "own", lambda: None)
    thread.start()
    thread.before_fork()
    thread.before_fork()
    thread.after_fork_in_parent()
    assert thread.native_id is None
    thread.after_fork_in_parent()
    assert thread.native_id is not None
    assert thread.stop(60)


@pytest.fixture
def late_thread(monkeypatch):
    """A thread that a fork did not wait for, the semaphore that it releases when it begins, and the event that it waits for."""
    monkeypatch.setattr(forks, "_FORK_SECONDS", 0.01)
    begun, answers = threading.Semaphore(0), threading.Event()

    def work(ending):
        begun.release()
        answers.wait(60)
        ending.wait()

    thread = ForkSafeThread(work, "own", lambda: None)
    thread.start()
    assert begun.acquire(timeout=60)
    thread.before_fork()
    thread.after_fork_in_parent()
    return thread, begun, answers


def test_a_thread_that_a_fork_did_not_wait_for_is_started_again_when_it_ends(late_thread):
    """Once, and not after it was stopped."""
    thread, begun, answers = late_thread
    answers.set()
    assert begun.acquire(timeout=60)
    assert thread.stop(60)
    assert not begun.acquire(blocking=False)


def test_a_thread_that_a_fork_did_not_wait_for_is_not_started_again_after_a_stop(monkeypatch, late_thread):
    """Nor during another fork, after which it is."""
    thread, _begun, answers = late_thread
    monkeypatch.setattr(forks, "_FORK_SECONDS", 20)
    answers.set()
    thread.before_fork()
    assert thread.native_id is None
    thread.after_fork_in_parent()
    assert thread.native_id is not None
    assert thread.stop(60)
    assert thread.native_id is None


def test_several_forks_end_a_thread_once():
    """Those inside `ready_to_fork`: the thread is started again after the block."""
    begun = []

    def work(ending):
        begun.append(ending)
        ending.wait()

    thread = ForkSafeThread(work, "own", lambda: None)
    thread.start()
    with ready_to_fork():
        for _ in range(2):
            assert thread.native_id is None
            thread.before_fork()
            thread.after_fork_in_parent()
        assert len(begun) == 1
    assert thread.native_id is not None
    assert thread.stop(60)
    assert len(begun) == 2


def _is_alone():
    """Return whether this process has one thread only; numeric libraries that other tests have imported may have started some."""
    tasks = Path("/proc/self/task")
    return (len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()) == 1


def _forked(log):
    """Fork a child, which tells whether a thread that does not run stays so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0 if log[-1] == "forgotten" else 1)
    status = os.waitpid(child, 0)[1]
    assert log[-1] == "end"
    return status


def test_each_lock_of_the_package_is_safe():
    """One that is not would be held for ever in a child that some application forks."""
    package = Path(treadle.__file__).parent
    bare = [
        f"{path.relative_to(package)}: {match[0]}"
        for path in package.rglob("*.py")
        if "testing" not in path.relative_to(package).parts  # there locks are values that do not pickle
        for match in re.finditer(r"(?<!fork_safe\()\bthreading\.(R?Lock|Condition|\w*Semaphore)\(.*", path.read_text())
    ]
    assert bare == []
