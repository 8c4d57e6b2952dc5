"""Messages about workers that died."""

from __future__ import annotations

import signal

import pytest

from treadle.errors import WorkerSetupError
from treadle.events import Failure
from treadle.execution.attempt.verdict import describe_timeout
from treadle.execution.executors.events import SetupFailed, WorkerDown
from treadle.execution.loop.verdict import describe_loss, describe_setup_failure
from treadle.execution.processes.sizes import format_bytes


def down(exitcode, peak=0):
    return WorkerDown(1, 4711, exitcode, 0, 1.0, peak)


def test_a_message_names_node_worker_signal_memory_and_inputs():
    """One paragraph has all known facts, the likely cause and a next step."""
    text = describe_loss("worker-1", down(-signal.SIGKILL, 3_000_000_000), "fit", (("table", 1_500_000_000), ("small", 12)))
    assert text.startswith("Node 'fit' lost its worker: worker-1 (pid 4711) was killed by SIGKILL while it ran node 'fit'.")
    assert "peaked at 3.0 GB" in text
    assert "table 1.5 GB, small 12 bytes" in text
    assert "memory ran out" in text
    assert "fewer workers" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("exitcode", "words"),
    [
        (-signal.SIGSEGV, "Compiled code"),
        (-signal.SIGABRT, "called abort()"),
        (-signal.SIGBUS, "mapped file"),
        (-signal.SIGTERM, "asked it to terminate"),
        (-signal.SIGXCPU, "CPU time"),
        (3, "os._exit"),
        (0, "os._exit"),
    ],
)
def test_each_end_has_its_likely_cause(exitcode, words):
    """The message names the likely cause of each exit."""
    assert words in describe_loss("worker-1", down(exitcode), "fit", ())


def test_the_loss_of_an_idle_worker_blames_no_node():
    """A worker that died between two nodes has no node at fault."""
    text = describe_loss("worker-2", down(-signal.SIGKILL), None, ())
    assert text.startswith("worker-2 (pid 4711) was killed by SIGKILL between two nodes.")
    assert "No node is at fault" in text


@pytest.mark.parametrize(
    ("exitcode", "words"),
    [
        (None, "died (its exit code is unknown)"),
        (-200, "was killed by signal 200"),
        (7, "exited with code 7"),
    ],
)
def test_a_message_says_how_the_process_ended(exitcode, words):
    """The message has the exit code or the signal."""
    assert words in describe_loss("worker-1", down(exitcode), "fit", ())


def test_a_set_up_failure_names_the_error_of_the_project():
    """The message is one paragraph; the error that carries it shows the traceback once."""
    failure = Failure("ImportError", "no module named 'pandsa'", "Traceback …\nImportError: no module named 'pandsa'\n", None)
    text = describe_setup_failure("worker-1", SetupFailed(1, failure, None))
    assert text.startswith("worker-1 could not be set up: ImportError: no module named 'pandsa'")
    assert "settings" in text
    assert str(WorkerSetupError(text, failure=failure)).count("Traceback …") == 1
    assert "Traceback …" not in text


def test_a_hook_that_fails_the_set_up_is_named():
    """If a plugin's own set-up failed, the message names the hook and the plugin."""
    failure = Failure("ValueError", "no server", "Traceback …", hook="on_worker_start", plugin="shop.hooks.Prices (HOOKS[0])")
    text = describe_setup_failure("worker-1", SetupFailed(1, failure, None))
    assert text == (
        "worker-1 could not be set up: the hook on_worker_start of shop.hooks.Prices (HOOKS[0]) failed: ValueError: no server"
    )


def test_a_death_before_set_up_shows_the_exit_code():
    """If only the exit code is known, the message shows it."""
    text = describe_setup_failure("worker-1", SetupFailed(1, None, 3))
    assert text.startswith("worker-1 exited with code 3 before it was set up.")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5e9, "5.0 GB"), (7e15, "7000.0 TB")],
)
def test_sizes_are_readable(size, text):
    """About three digits, and a unit."""
    assert format_bytes(size) == text


def test_a_node_that_returns_before_its_worker_is_terminated():
    """The parent may be late. Nobody is told that the node ran in the main process, or to use workers."""
    text = describe_timeout("fit", 0.01, 0.05, in_worker=True)
    assert "It returned after 0.05 s, just before its worker was terminated, and its outputs were not saved." in text
    assert "main process" not in text
