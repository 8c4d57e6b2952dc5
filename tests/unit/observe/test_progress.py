"""Progress: a run drawn on a terminal, here a recorded console of fixed size and a clock that is set by hand."""

from __future__ import annotations

import errno
import io
import logging
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.logging import RichHandler

from treadle.errors import Terminated
from treadle.events import (
    DatasetReleased,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeReused,
    NodeSkipped,
    NodeStarted,
    Outcome,
    RunFinished,
    RunStarted,
    WorkerLost,
)
from treadle.observe.progress import Progress, watched
from treadle.observe.run_progress import RunProgress
from treadle.project.logging import StderrHandler

NODES = ("split", "fit", "score", "plot")
STARTED = RunStarted("id", 100.0, "parallel", "spawn", 2, NODES)
FAILURE = Failure("ValueError", "bad", "…")


def finished(node, started, at, worker="worker-1"):
    return NodeFinished(node, worker, 1, started, at, 0.0, at - started, 0.0)


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def scene():
    """A progress display on a recorded terminal of 70 × 12, with a clock that the test sets."""
    clock = SimpleNamespace(now=100.0)
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, color_system=None, width=70, height=12, get_time=lambda: clock.now)
    progress = Progress(console, clock=lambda: clock.now, auto_refresh=False)
    return SimpleNamespace(clock=clock, terminal=terminal, console=console, progress=progress)


def drawn(scene, events):
    """Give the events to the display, and return the lines of its next drawing."""
    with scene.progress:
        for event in events:
            scene.progress(event)
        with scene.console.capture() as capture:
            scene.console.print(scene.progress._draw())
    return capture.get().splitlines()


def test_a_line_a_busy_worker(scene):
    """Each busy worker has a line with its node and how long it runs; below stands what is done (failure 19)."""
    scene.clock.now = 103.0
    lines = drawn(
        scene,
        [STARTED, NodeStarted("split", "worker-1", 1, 100.5), NodeStarted("fit", "worker-2", 1, 101.0)],
    )
    assert len(lines) == 3
    assert lines[0][2:].split() == ["worker-1", "split", "2.5", "s"]
    assert lines[1][2:].split() == ["worker-2", "fit", "2.0", "s"]
    assert lines[2].rstrip().endswith("0/4 nodes · 3.0 s")
    assert max(map(len, lines)) <= 70


def test_the_rest_is_estimated(scene):
    """Once a node finished, the display says how long the rest takes at that pace on all workers."""
    scene.clock.now = 110.0
    lines = drawn(scene, [STARTED, finished("split", 100.0, 110.0), NodeStarted("fit", "worker-1", 1, 110.0)])
    assert lines[-1].rstrip().endswith("1/4 nodes · 10.0 s · about 15.0 s left")


def test_more_workers_than_lines(scene):
    """On a low terminal the workers that find no room are counted, and the display stays within the screen."""
    nodes = tuple(f"node_{number}" for number in range(40))
    lines = drawn(
        scene,
        [
            RunStarted("id", 100.0, "parallel", "spawn", 40, nodes),
            *(NodeStarted(node, f"worker-{number}", 1, 100.0) for number, node in enumerate(nodes)),
        ],
    )
    assert len(lines) == 11
    assert lines[-2].strip() == "… and 31 more"


def test_long_names_and_markup_are_safe(scene):
    """A node's name is shown as it is, cut where it is too long for its line."""
    lines = drawn(scene, [STARTED, NodeStarted("fit([red]) -> [" + "x" * 80 + "]", "worker-1", 1, 100.0)])
    assert "fit([red]) -> [xxx" in lines[0]
    assert "…" in lines[0]
    assert lines[0].endswith("0.0 s")


def test_nothing_to_draw_before_the_run(scene):
    """Before the run begins nothing is drawn, and a run that never begins leaves nothing."""
    assert drawn(scene, []) == []
    assert "nodes" not in scene.terminal.getvalue()


@pytest.mark.parametrize(
    ("outcome", "error", "summary"),
    [
        (Outcome.SUCCEEDED, None, "✔ 1 node in 5.0 s (parallel, 2 workers, spawn)"),
        (Outcome.FAILED, ValueError("bad"), "✘ failed after 5.0 s, with 1 of 4 nodes finished"),
        (Outcome.INTERRUPTED, KeyboardInterrupt(), "■ interrupted after 5.0 s, with 1 of 4 nodes finished"),
        (None, Terminated(), "■ interrupted after 5.0 s, with 1 of 4 nodes finished"),
        (None, ValueError("bad"), "✘ failed after 5.0 s, with 1 of 4 nodes finished"),
        (None, None, "✔ 1 node in 5.0 s (parallel, 2 workers, spawn)"),
    ],
)
def test_one_line_stays(scene, outcome, error, summary):
    """At the end, however it comes, the display is erased, the cursor is back, and one line says what came of the run."""

    def whole_run():
        with scene.progress as progress:
            progress(STARTED)
            progress(NodeStarted("split", "worker-1", 1, 100.0))
            progress(finished("split", 100.0, 104.0))
            scene.clock.now = 105.0
            progress.refresh()
            if outcome:
                progress(RunFinished("id", 105.0, outcome))
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            whole_run()
    else:
        whole_run()
    written = scene.terminal.getvalue()
    shown, _, after = written.rpartition("\x1b[?25h")  # the cursor is shown again: rich is done
    assert "\x1b[?25l" in shown
    assert after.rpartition("\x1b[2K")[2].strip() == summary


@pytest.mark.parametrize(
    ("outcome", "how"),
    [(Outcome.FAILED, "✘ failed after 5.0 s, with"), (Outcome.INTERRUPTED, "■ interrupted after 5.0 s, with")],
)
def test_nodes_that_are_up_to_date_are_counted_at_the_end(scene, outcome, how):
    """Also if the run does not succeed."""
    with scene.progress as progress:
        progress(STARTED)
        progress(NodeReused("split", 100.0))
        progress(finished("fit", 100.0, 104.0))
        progress(RunFinished("id", 105.0, outcome))
    assert f"{how} 1 of 4 nodes finished, 1 up to date" in " ".join(scene.terminal.getvalue().split())


def test_log_lines_appear_above(scene, monkeypatch):
    """While the display is up, handlers on the terminal write above it; afterwards they have their own streams again."""
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", Terminal())
    plain = logging.StreamHandler()
    own_console = Console(file=stderr, force_terminal=True, color_system=None, width=70)
    rich_handler = RichHandler(console=own_console)
    looks_up = StderrHandler()
    elsewhere = logging.StreamHandler(io.StringIO())
    logger = logging.getLogger("tests.progress")
    logger.propagate = False
    for handler in (plain, rich_handler, looks_up, elsewhere):
        logger.addHandler(handler)
    try:
        with scene.progress as progress:
            progress(STARTED)
            logger.warning("careful [bold]now")
            print("printed")
            assert stderr.getvalue() == ""
        assert scene.terminal.getvalue().count("careful [bold]now") == 3
        assert "printed" in scene.terminal.getvalue()
        assert elsewhere.stream.getvalue() == "careful [bold]now\n"
        assert (plain.stream, rich_handler.console) == (stderr, own_console)
        assert sys.stderr is stderr
    finally:
        for handler in (plain, rich_handler, looks_up, elsewhere):
            logger.removeHandler(handler)


def test_a_process_without_standard_error(monkeypatch):
    """Where there is no stream at all nobody watches, and nothing is drawn."""
    monkeypatch.setattr(sys, "stderr", None)
    with watched() as observers:
        assert observers == ()


def test_a_terminal_that_is_closed():
    """What a run ends with stays what it ended with where the terminal is gone."""

    class Closed(Terminal):
        def write(self, _text):
            raise OSError(errno.EIO, "Input/output error")

    progress = Progress(Console(file=Terminal(), force_terminal=True, width=80), auto_refresh=False)

    def run():
        with progress:
            progress(RunStarted(run_id="r", at=0.0, runner="sequential", start_method=None, workers=1, nodes=("a",)))
            progress._console.file = Closed()
            raise Terminated

    with pytest.raises(Terminated):
        run()


def test_many_threads_while_it_draws(scene):
    """Events may come while the display is drawn by its own thread."""
    progress = Progress(scene.console, clock=lambda: scene.clock.now)
    nodes = tuple(f"node_{number}" for number in range(500))
    with progress:
        progress(RunStarted("id", 100.0, "thread", None, 4, nodes))
        for number, node in enumerate(nodes):
            progress(NodeStarted(node, f"thread-{number % 4}", 1, 100.0))
            progress(finished(node, 100.0, 100.1, f"thread-{number % 4}"))
            if number % 50 == 0:
                progress.refresh()
        progress(RunFinished("id", 101.0, Outcome.SUCCEEDED))
    assert "500 nodes in 1.0 s (thread, 4 workers)" in scene.terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 00 s"), (245.0, "4 min 05 s"), (7800.0, "2 h 10 min")]
)
def test_durations_read_well(scene, seconds, text):
    """Times are in the unit that fits them."""
    scene.clock.now = 100.0 + seconds
    assert drawn(scene, [STARTED])[-1].rstrip().endswith(f"0/4 nodes · {text}")


def test_failures_are_counted(scene):
    """A failed node leaves its worker's line and is counted; one that will be tried again is not."""
    lines = drawn(
        scene,
        [
            STARTED,
            NodeStarted("split", "worker-1", 1, 100.0),
            NodeFailed("split", "worker-1", 1, 100.0, 101.0, FAILURE, final=False),
            NodeStarted("fit", "worker-2", 1, 100.0),
            NodeFailed("fit", "worker-2", 1, 100.0, 101.0, FAILURE),
        ],
    )
    assert [line.strip() for line in lines][-1].endswith("0/4 nodes · 0.0 s · 1 failed")
    assert len(lines) == 1


class TestBoard:
    def test_a_lost_worker_is_not_busy(self):
        """A worker that died has no line any more, and a late word of its node changes nothing."""
        board = RunProgress()
        for event in (STARTED, NodeStarted("fit", "worker-1", 1, 100.0), WorkerLost("worker-1", 7, 101.0, -9, "fit")):
            board.update(event)
        board.update(NodeFailed("fit", "worker-1", 1, 100.0, 101.0, FAILURE))
        assert (board.busy, board.failed) == ({}, ["fit"])

    def test_the_next_node_of_a_worker_stays(self):
        """Word of a node's end does not remove the node that its worker has begun since."""
        board = RunProgress()
        for event in (STARTED, NodeStarted("fit", "worker-1", 1, 100.0), NodeStarted("score", "worker-1", 1, 101.0)):
            board.update(event)
        board.update(finished("fit", 100.0, 101.0))
        assert board.busy == {"worker-1": ("score", 101.0)}

    def test_a_node_that_runs_again_is_counted_once(self):
        """A node whose value was lost with a worker is not done while it runs again; each time counts for the mean duration."""
        board = RunProgress()
        for event in (STARTED, finished("split", 100.0, 110.0), NodeStarted("split", "worker-1", 2, 110.0)):
            board.update(event)
        assert board.done == 0
        board.update(finished("split", 110.0, 114.0))
        assert (board.done, board.seconds_left(114.0)) == (1, 7.0 * (board.total - 1) / board.workers)

    def test_no_estimate_without_a_finished_node(self):
        """Nothing is promised while nothing is known."""
        board = RunProgress()
        board.update(STARTED)
        assert board.seconds_left(105.0) is None

    def test_the_estimate_is_no_shorter_than_a_running_node(self):
        """The rest takes as long as the node that has most before it; what overran and what is skipped costs nothing more."""
        board = RunProgress()
        for event in (
            STARTED,
            finished("split", 100.0, 110.0),
            NodeStarted("fit", "worker-1", 1, 110.0),
            NodeSkipped("score", 110.0),
            NodeSkipped("plot", 110.0),
            DatasetReleased("table", 110.0),
        ):
            board.update(event)
        assert board.seconds_left(112.0) == 8.0
        assert board.seconds_left(150.0) == 0.0
