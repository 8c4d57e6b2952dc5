"""Whether the process of a session still runs, decided by host, boot, process id and start time, elsewhere by the heartbeat."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from treadle.observe.store import liveness
from treadle.observe.store.liveness import LOST_AFTER, is_alive, this_process

NEVER = None


def test_this_process_is_alive():
    """A running process is recognised without a heartbeat, and by its start time."""
    here = this_process()
    assert here.pid == os.getpid()
    assert is_alive(here, NEVER)
    assert not is_alive(here._replace(started=here.started - 5), NEVER)
    assert is_alive(here._replace(started=None), NEVER)


def test_the_start_of_a_process_is_the_one_that_psutil_tells():
    """Records of sessions that were written with psutil's figure are still recognised."""
    process = psutil.Process()
    assert this_process().started == pytest.approx(process.create_time() - psutil.boot_time(), abs=1)


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_process_is_not_alive(reaped):
    """Neither a process that is gone, nor one that nobody has waited for yet."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = this_process()._replace(pid=child.pid, started=None)
    assert is_alive(process, NEVER)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    assert not is_alive(process, time.time())
    child.stdin.close()
    child.wait()


def test_a_machine_that_was_started_again():
    """A process of an earlier boot is gone, even if the same id runs again."""
    here = this_process()
    boot, _, namespace = here.boot_id.partition(" ")
    assert not is_alive(here._replace(boot_id=f"{boot[::-1]} {namespace}"), time.time())


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"host": None}, {"boot_id": None}])
def test_another_machine_is_known_by_its_heartbeat(elsewhere):
    """Its processes cannot be seen, so an old heartbeat decides; a process of another container is no different."""
    process = this_process()._replace(**elsewhere)
    assert is_alive(process, time.time())
    assert not is_alive(process, time.time() - LOST_AFTER - 1)
    assert not is_alive(process, NEVER)


def test_another_container_of_this_machine():
    """Process ids of another namespace mean nothing here."""
    here = this_process()
    process = here._replace(boot_id=f"{here.boot_id.partition(' ')[0]} pid:[1]")
    assert is_alive(process, time.time())
    assert not is_alive(process, NEVER)


def test_a_system_without_boot_ids(monkeypatch):
    """The process id and the start time decide."""
    monkeypatch.setattr(liveness, "current_boot", lambda: None)
    here = this_process()._replace(boot_id=None)
    assert is_alive(here, NEVER)
