"""The choice of the start method and its reason; process-wide state is tested in separate processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from treadle.errors import RunnerError
from treadle.execution.processes.start_method import (
    ENVIRONMENT_VARIABLE,
    StartMethod,
    available_start_methods,
    choose_start_method,
)

ASK = """
import multiprocessing, threading
{setup}
from treadle.execution.processes.start_method import choose_start_method
choice = choose_start_method({argument})
print(choice.method.value, choice.reason, multiprocessing.get_start_method(allow_none=True), sep="|")
{teardown}
"""
THREAD = "release = threading.Event()\nthread = threading.Thread(target=release.wait)\nthread.start()"
DAEMON = "thread = threading.Timer(60, print)\nthread.daemon = True"
END = "release.set()\nthread.join()"


def ask(setup="", argument="", teardown="", **environment):
    """Return method, reason and the process's own default, as a fresh process has them."""
    inherited = {name: value for name, value in os.environ.items() if name != ENVIRONMENT_VARIABLE}
    code = ASK.format(setup=setup, argument=argument, teardown=teardown)
    out = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, check=True, capture_output=True, text=True
    ).stdout
    method, reason, default = out.strip().split("|")
    return StartMethod(method), reason, default


def test_the_argument_comes_first():
    """The argument takes precedence over everything else, as a name or as a StartMethod."""
    method, reason, _ = ask("multiprocessing.set_start_method('fork')", "'spawn'", **{ENVIRONMENT_VARIABLE: "loky"})
    assert method is StartMethod.SPAWN
    assert "argument" in reason
    assert choose_start_method(StartMethod.LOKY).method is StartMethod.LOKY
    assert choose_start_method("fork").method is StartMethod.FORK


def test_the_environment_comes_second():
    """The environment variable takes precedence over the application's setting."""
    method, reason, _ = ask("multiprocessing.set_start_method('fork')", **{ENVIRONMENT_VARIABLE: "loky"})
    assert method is StartMethod.LOKY
    assert ENVIRONMENT_VARIABLE in reason


@pytest.mark.parametrize("fixed", ["fork", "spawn", "forkserver"])
def test_the_applications_own_default_comes_third(fixed):
    """The method that the application set with set_start_method is used."""
    method, reason, default = ask(f"multiprocessing.set_start_method({fixed!r})")
    assert method.value == default == fixed
    assert "set_start_method" in reason


def test_an_inferred_fork_gives_way_where_threads_are_alive():
    """If threads are alive and fork was not requested, forkserver is used instead (failure 10)."""
    method, reason, default = ask(f"multiprocessing.set_start_method('fork')\n{THREAD}", teardown=END)
    assert method is StartMethod.FORKSERVER
    assert "threads" in reason
    assert default == "fork"


def test_a_requested_fork_does_not_give_way():
    """A requested fork is used even if threads are alive."""
    assert ask(THREAD, "'fork'", END)[0] is StartMethod.FORK


def test_a_lock_that_fixes_the_default_changes_nothing():
    """`multiprocessing.Lock()` sets the platform's default, which does not count as a request for fork."""
    method, _, _ = ask(f"lock = multiprocessing.Lock()\n{THREAD}", teardown=END)
    assert method is StartMethod.FORKSERVER


@pytest.mark.parametrize(
    "setup",
    ["", "import numpy", "import logging\nlogging.basicConfig(filename='log')", "library = open('libffi.so.8.5.0', 'rb')"],
)
def test_a_plain_process_is_forked(setup, tmp_path, monkeypatch):
    """On Linux it is, beside numpy's idle threads, an open log and an open library, too. The process's default is not set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "libffi.so.8.5.0").touch()
    method, reason, default = ask(setup)
    assert method is (StartMethod.FORK if sys.platform == "linux" else StartMethod.SPAWN)
    assert "the fastest method, and safe: " in reason or sys.platform != "linux"
    assert default == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked unless the user asks for it")
@pytest.mark.parametrize(
    ("setup", "found"),
    [
        (f"{DAEMON}\nthread.name = 'beat'\nthread.start()", "another thread is alive ('beat')"),
        (f"import numpy\n{DAEMON}\nthread.start()", "another thread is alive ("),
        ("import socket\nopened = socket.socket()", "a socket, is open"),
        ("import sqlite3\nopened = sqlite3.connect('rows.db')", "rows.db', is open"),
        ("opened = open('written', 'w')", "written', is open"),
        (f"opened = open({__file__!r})", "test_start_method.py', is open"),
        ("import os\nopened = os.pipe()", "a pipe, is open"),
        ("import os\nopened = os.open('.', os.O_RDONLY)", "the folder"),
        ("import os\nopened = os.openpty()", "ptmx', is open"),
        ("import os\nopened = os.pidfd_open(os.getpid())", "an object of the kernel (pidfd)"),
    ],
)
def test_what_makes_a_fork_unsafe_is_named(setup, found, tmp_path, monkeypatch):
    """Beside a thread, or with something open that a forked child could damage, forkserver is used, and the reason says why."""
    monkeypatch.chdir(tmp_path)
    method, reason, _ = ask(setup)
    assert method is StartMethod.FORKSERVER
    assert reason.startswith("the safe default, because")
    assert found in reason


NATIVE = """
import ctypes
library, thread = ctypes.CDLL(None), ctypes.c_ulong()
assert library.pthread_create(ctypes.byref(thread), None, ctypes.cast(library.pause, ctypes.c_void_p), None) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked unless the user asks for it")
@pytest.mark.parametrize(
    ("setup", "name"), [(NATIVE, ""), (f"{NATIVE}\nlibrary.pthread_setname_np(thread, b'a-pool')", " ('a-pool')")]
)
def test_a_thread_that_is_not_pythons_is_named_if_it_has_a_name(setup, name):
    """A library's thread makes a fork unsafe; unless it is given a name it has that of the process, which would mislead."""
    method, reason, _ = ask(setup)
    assert method is StartMethod.FORKSERVER
    assert reason == f"the safe default, because a library has started another thread{name}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked unless the user asks for it")
def test_pipes_of_the_program_that_started_this_one_do_not_count():
    """A pipe that this process was started with, such as that of make's job server, is open in every child of it anyway."""
    ours, theirs = os.pipe()
    try:
        out = subprocess.run(
            [sys.executable, "-c", ASK.format(setup="", argument="", teardown="")],
            env={name: value for name, value in os.environ.items() if name != ENVIRONMENT_VARIABLE},
            pass_fds=(ours, theirs),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    finally:
        os.close(ours)
        os.close(theirs)
    assert out.startswith("fork|")


def test_without_forkserver_spawn_is_safe(monkeypatch, tmp_path):
    """A platform without forkserver uses spawn."""
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda *, allow_none: None)
    assert available_start_methods() == (StartMethod.SPAWN, StartMethod.LOKY)
    with (tmp_path / "open").open("w"):  # so that this process is not forked
        assert choose_start_method().method is StartMethod.SPAWN


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_an_unavailable_method_is_refused(monkeypatch, method):
    """The error about a method that the platform lacks names two that it has."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(RunnerError, match=rf"no start method '{method}'.*loky or spawn"):
        choose_start_method(method)


def test_an_unknown_name_is_refused_with_its_source(monkeypatch):
    """The error lists the methods and names the source of the unknown name; it is a ValueError too."""
    with pytest.raises(RunnerError, match=r"'frok' in the start_method argument. .*Use one of: fork, spawn") as caught:
        choose_start_method("frok")
    assert caught.value.close == ("fork",)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "thread")
    with pytest.raises(ValueError, match=rf"'thread' in {ENVIRONMENT_VARIABLE}"):
        choose_start_method()


@pytest.mark.parametrize("method", list(StartMethod))
def test_each_method_has_its_context(method):
    """Each method has a context that can make processes; only a forked child inherits the configured project."""
    assert callable(method.context().Process)
    assert method.child_inherits == (method is StartMethod.FORK)
    assert method in available_start_methods()


STARTS = """
import multiprocessing
from treadle import Catalog, ParallelRunner, Pipeline, node

for asked in (None, "spawn", "loky", "forkserver", None):
    runner = ParallelRunner(max_workers=1, start_method=asked)
    runner.run(Pipeline([node(len, "text", "size")]), Catalog({"text": "abc"}))
    print(runner.start_method, multiprocessing.get_start_method(allow_none=True))
multiprocessing.set_start_method("spawn")
"""


def test_starting_workers_does_not_set_the_default():
    """Workers of any method leave the application's default unset, so the next pool starts like the first.

    What they have left open, such as the pipe of the forkserver, does not count either.
    """
    inherited = {name: value for name, value in os.environ.items() if name != ENVIRONMENT_VARIABLE}
    done = subprocess.run([sys.executable, "-c", STARTS], env=inherited, check=True, capture_output=True, text=True)
    default = "fork" if sys.platform == "linux" else "spawn"
    assert done.stdout.splitlines() == [f"{method} None" for method in (default, "spawn", "loky", "forkserver", default)]
