"""Locks in forked children."""

from __future__ import annotations

import os
import re
import threading
import warnings
from pathlib import Path

import pytest

import treadle
from treadle.forks import fork_safe


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock, threading.Condition])
def test_a_lock_that_another_thread_holds_is_free_in_a_forked_child(kind):
    """Nobody would ever release it there; in the parent it stays held."""
    lock, held, release = fork_safe(kind()), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
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
