"""Control characters in texts of the user's reach no terminal: they are shown escaped."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import click
import pytest
from rich.console import Console

from treadle import Catalog
from treadle.cli import display
from treadle.cli.failure import show
from treadle.cli.invocation import Invocation
from treadle.cli.main import run_to_exit_code
from treadle.cli.tables import aligned
from treadle.errors import NodeError
from treadle.events import Failure, NodeFailed, NodeFinished, NodeStarted, RunStarted
from treadle.observe.log import LogObserver
from treadle.observe.progress import Progress
from treadle.printable import printable
from treadle.project.logging import StderrHandler
from treadle.project.terminal_logging import TerminalHandler

EVIL = "a\x1b]0;owned\x07b\x1b[2J\x9b31m\u202ec\rd"
SHOWN = r"a\x1b]0;owned\x07b\x1b[2J\x9b31m\u202ec\x0dd"


def test_what_is_shown() -> None:
    """Each control character is an escape; lines and tabs stay."""
    assert printable(EVIL) == SHOWN
    assert printable("a\tb\né ✔") == "a\tb\né ✔"


def _is_clean(text: str) -> bool:
    return not any(character in text for character in "\x1b\x07\x9b\u202e\r")


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Message, traceback, notes and the command that resumes the run."""
    failure = Failure("ValueError", EVIL, f'  File "x.py", line 1\nValueError: {EVIL}')
    error = NodeError(f"Node {EVIL!r} failed: {EVIL}", node=EVIL, failure=failure, resume=f"treadle run --nodes={EVIL}")
    error.__dict__["__notes__"] = [EVIL]
    show(error)
    said = capsys.readouterr().err
    assert _is_clean(said.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", ""))
    assert said.count(SHOWN) >= 3


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Click repeats what was typed."""

    @click.command()
    @click.option("--number", type=int)
    def command(number: int) -> None:
        """Do nothing."""

    assert run_to_exit_code(command, Invocation(("--number", EVIL))) == 2
    assert _is_clean(capsys.readouterr().err)


def test_tables() -> None:
    """Cells are as wide as what is shown of them."""
    first, second = aligned([(EVIL, "x"), ("b", "y")])
    assert first == f"{SHOWN}  x"
    assert second.endswith("  y")
    assert len(second) == len(first)


def test_outputs_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A name is as wide as what is shown of it."""
    monkeypatch.setattr(display, "is_terminal", lambda: True)
    monkeypatch.setattr(logging.getLogger("treadle.run"), "level", logging.INFO)
    catalog = Catalog.from_config({"note": {"type": "text.TextDataset", "filepath": f"{EVIL}.txt"}}, project_path="/p")
    session = SimpleNamespace(session_id="session-1", load_context=lambda: SimpleNamespace(catalog=catalog))
    display.show_outputs(session, {EVIL: 1, "note": "x"})
    space = " " * (len(SHOWN) - len("note"))
    said = capsys.readouterr().err.splitlines()
    assert said == [f"  {SHOWN}  (in memory, not saved)", f"  note{space}  {SHOWN}.txt", "  session session-1"]


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_log_lines(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any logger, with tracebacks; other handlers get the record as it was made."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    handler = (
        StderrHandler() if kind == "plain" else TerminalHandler(console=Console(file=written, width=300), rich_tracebacks=True)
    )
    taken: list[str] = []
    other = logging.Handler()
    other.emit = lambda record: taken.append(record.getMessage())  # type: ignore[method-assign]  # the shortest handler
    logger = logging.getLogger("treadle.test.control")
    logger.propagate = False
    logger.addHandler(handler)
    logger.addHandler(other)
    logger.error("it says %s", EVIL, exc_info=ValueError(EVIL))
    logger.handlers.clear()
    assert _is_clean(written.getvalue())
    assert written.getvalue().count(SHOWN) == 2
    assert taken == [f"it says {EVIL}"]


def test_observers(caplog: pytest.LogCaptureFixture) -> None:
    """Names of nodes and messages of failures, in lines and in the display."""
    failed = NodeFailed(EVIL, "main", 1, 1.0, 2.0, Failure("ValueError", EVIL, ""), final=False)
    events = (
        RunStarted("run", 0.0, "sequential", None, 1, (EVIL,)),
        NodeStarted(EVIL, "main", 1, 1.0),
        failed,
        NodeStarted(EVIL, "main", 2, 2.0),
        NodeFinished(EVIL, "main", 2, 2.0, 3.0, 0.1, 0.1, 0.1, ()),
    )
    observer = LogObserver()
    with caplog.at_level(logging.INFO, "treadle.run"):
        for event in events:
            observer(event)
    assert caplog.text.count(SHOWN) == 2
    assert _is_clean(caplog.text)
    written = io.StringIO()
    with Progress(console=Console(file=written, force_terminal=True, color_system=None, width=200)) as progress:
        for event in events[:2]:
            progress(event)
        progress.refresh()
    assert r"\x1b]0;owned" in written.getvalue()
    assert "\x1b]0;" not in written.getvalue()
