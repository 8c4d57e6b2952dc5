"""How errors are shown, and the exit codes they stand for."""

from __future__ import annotations

import sys

import click
import pytest

from treadle.cli.failure import ExitCode, show
from treadle.errors import (
    ConfigError,
    DatasetError,
    NodeError,
    PipelineError,
    ProjectNotFoundError,
    RunError,
    StoreError,
    WorkerLostError,
    WorkerSetupError,
)
from treadle.events import Failure

FAILURE = Failure("ValueError", "bad", 'Traceback (most recent call last):\n  File "nodes.py", line 3, in fit\nValueError: bad\n')


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NodeError("x"), 1),
        (WorkerLostError("x"), 1),
        (WorkerSetupError("x"), 1),
        (RunError("x"), 1),
        (ConfigError("x"), 2),
        (DatasetError("x"), 2),
        (PipelineError("x"), 2),
        (ProjectNotFoundError("x"), 2),
        (StoreError("x"), 2),
    ],
)
def test_a_failed_run_is_1_and_wrong_input_is_2(error, code, capsys):
    """The exit code tells a run that failed from one that could not begin; the message is one line on standard error."""
    assert show(error) == code
    assert capsys.readouterr() == ("", "Error: x\n")


def test_a_failed_node_shows_the_users_frames_then_what_to_do(capsys):
    """The user's traceback comes once, then the message, then the command that resumes the run."""
    error = NodeError("Node 'fit' failed.", node="fit", failure=FAILURE, resume="treadle run --from-nodes fit")
    assert show(error) is ExitCode.FAILED
    assert capsys.readouterr().err == (
        'Traceback (most recent call last):\n  File "nodes.py", line 3, in fit\nValueError: bad\n\n'
        "Error: Node 'fit' failed.\n\nResume the run from here with:\n  treadle run --from-nodes fit\n"
    )


def test_a_worker_that_was_not_set_up_shows_why(capsys):
    """The traceback of a failed set-up is shown too, and notes stand below the message."""
    error = WorkerSetupError("No worker came up.", failure=FAILURE)
    error.__notes__ = ["Look at settings.py."]
    assert show(error) is ExitCode.FAILED
    assert capsys.readouterr().err.endswith("ValueError: bad\n\nError: No worker came up.\nLook at settings.py.\n")


def test_a_traceback_without_a_frame_of_the_users_is_left_out(capsys):
    """What a builtin or Treadle raised is in the message already."""
    error = NodeError("Node 'len' failed: TypeError: bad", node="len", failure=Failure("TypeError", "bad", "TypeError: bad\n"))
    assert show(error) is ExitCode.FAILED
    assert capsys.readouterr().err == "Error: Node 'len' failed: TypeError: bad\n"


def test_the_text_of_an_error_stands_once(capsys):
    """Where the traceback ends with what was raised, the message below it only names the node."""
    failure = Failure("ValueError", "bad", FAILURE.traceback)
    error = NodeError(
        "Node 'fit' failed on worker-1: ValueError: bad\nAnother node failed too: 'x'.", node="fit", failure=failure
    )
    assert show(error) is ExitCode.FAILED
    said = capsys.readouterr().err
    assert said.count("bad") == 1
    assert said.endswith("\nError: Node 'fit' failed on worker-1.\nAnother node failed too: 'x'.\n")


@pytest.mark.parametrize(("given", "code"), [(3, 3), (None, 0), (0, 0), ("no data", 1), (-1, 255)])
def test_an_exit_of_a_node(given, code, capsys):
    """What a node gives to `sys.exit` is the command's exit code; zero is no error, and shows no traceback."""
    error = NodeError(f"Node 'fit' failed: SystemExit: {given}", node="fit", failure=FAILURE, resume="treadle run")
    error.__cause__ = SystemExit(given)
    assert show(error) == code
    said = capsys.readouterr().err
    assert ("Traceback" in said) == ("Error" in said) == ("treadle run" in said) == (code != 0)
    assert "'fit'" in said


def test_a_paragraph_is_broken_between_words_on_a_terminal(monkeypatch, capsys):
    """On a terminal no word is broken at its edge, and what can be copied stays whole; in a pipe a paragraph is one line."""
    error = ConfigError("one two three four five six\n  treadle run --pipelines=cleaning --runner=parallel")
    monkeypatch.setenv("COLUMNS", "24")
    show(error)
    assert "five six\n  treadle" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show(error)
    said = click.unstyle(capsys.readouterr().err)
    assert said == "Error: one two three\nfour five six\n  treadle run --pipelines=cleaning --runner=parallel\n"
