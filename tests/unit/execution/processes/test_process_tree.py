"""Killing the processes of workers on a machine that gives the process which kills them no CPU for seconds."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

STALLED = """
import itertools, subprocess, sys
from types import SimpleNamespace
from treadle.execution.processes import process_tree

hours = itertools.count()  # between any two looks at the clock, this process was stopped for an hour
process_tree.time = SimpleNamespace(monotonic=lambda: 3600.0 * next(hours), sleep=lambda _seconds: None)
program = [sys.executable, "-S", "-c", "print(flush=True); import time; time.sleep(1000)"]
parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
child = subprocess.Popen([sys.executable, "-S", "-c", parent, *program], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()  # both run
(grandchild,) = process_tree.find_tree([child.pid]) - {child.pid}
print(child.pid, grandchild, flush=True)
sys.stdin.readline()
process_tree.end_tree([child.pid]) if sys.argv[1] == "end_tree" else process_tree.end_descendants()
print(flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("function", ["end_tree", "end_descendants"])
def test_a_tree_is_killed_however_late_it_is(function):
    """Even if the time for which the end of the processes is waited for is over before they are searched, each is killed."""
    words = [sys.executable, "-c", STALLED, function]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        pids = [int(pid) for pid in killer.stdout.readline().split()]
        ends = [os.pidfd_open(pid) for pid in pids]
        try:
            print(file=killer.stdin, flush=True)
            killer.stdout.readline()  # it has sent the signals
            assert [select.select([end], [], [], 60)[0] for end in ends] == [[end] for end in ends]
        finally:
            for pid, end in zip(pids, ends, strict=True):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                os.close(end)
            killer.kill()


AT_THE_LIMIT = """
import os, resource, subprocess
from treadle.execution.processes.process_tree import end_tree
child = subprocess.Popen(["sleep", "60"])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
opened = []
try:
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    end_tree([child.pid])
print(child.wait(timeout=30))
"""


def test_workers_are_killed_by_a_process_that_may_open_no_more_files():
    """It cannot list the processes of the machine, so it cannot find those that its workers have started."""
    ran = subprocess.run([sys.executable, "-c", AT_THE_LIMIT], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("-9\n", "")
