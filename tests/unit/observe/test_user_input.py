"""The progress display is hidden while a node waits for user input."""

from __future__ import annotations

import builtins
import io
import sys

import pytest
from rich.console import Console

from treadle.events import NodeFinished, NodeStarted, RunStarted
from treadle.observe.progress import Progress
from treadle.project.logging import node_here


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "ask",
    [
        lambda: input("name? "),
        lambda: sys.stdin.readline().strip(),
        lambda: next(sys.stdin).strip(),
        lambda: sys.stdin.read(4).strip(),
    ],
)
def test_the_display_is_away_until_the_node_ends(monkeypatch, ask):
    """From the question on nothing is drawn, and what is printed is as it was printed, until the run's next event."""
    terminal = Terminal()
    for name, stream in {"stdout": terminal, "stderr": terminal, "stdin": io.StringIO("Ann\nBob\n")}.items():
        monkeypatch.setattr(sys, name, stream)
    progress = Progress(Console(file=terminal, force_terminal=True, color_system=None, width=60), auto_refresh=False)
    before = builtins.input, sys.stdin, sys.stdout
    with progress:
        progress(RunStarted("id", 100.0, "sequential", None, 1, ("ask", "next")))
        progress(NodeStarted("ask", "main", 1, 100.0))
        token = node_here.set(("ask", "main"))
        assert ask() == "Ann"
        begun = len(terminal.getvalue())
        progress.refresh()
        print("(Pdb) here")
        assert ask() == "Bob"
        assert terminal.getvalue()[begun:].replace("name? ", "") == "(Pdb) here\n"
        node_here.reset(token)
        progress(NodeFinished("ask", "main", 1, 100.0, 101.0, 0.0, 1.0, 0.0))
        progress.refresh()
        assert "1/2 nodes" in terminal.getvalue()[begun:]
    assert (builtins.input, sys.stdin, sys.stdout) == before
