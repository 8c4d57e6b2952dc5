"""Show the progress of a run on a terminal: one line per busy worker, the number of finished nodes, the remaining time.

Log handlers that write to the terminal are redirected to the display's console and restored at the end, so that log lines appear
above the display. The output of nodes appears above it too, and the current state of their progress bars next to the node. During
user input (`input()`, a debugger) the display is hidden until the node ends. State: a `RunProgress`, updated by events in the
thread of the run and drawn by rich's refresh thread, under one lock; the redirected handlers and streams.
Neighbours: `run_progress.py` has the state; `log.py` logs the same without a terminal; `cli/display.py` chooses between the two.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from treadle.events import DatasetReleased, Event, Outcome, WorkerStarted
from treadle.forks import fork_safe
from treadle.observe.output import NodeStream, is_terminal
from treadle.observe.run_progress import RunProgress, format_seconds
from treadle.observe.user_input import UserInputMonitor
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live

_REFRESHES_PER_SECOND = 8


@contextmanager
def watched() -> Iterator[tuple[Progress, ...]]:
    """Show the progress of the run inside the block, if there is a terminal.

    Yields:
        The observers to pass to the run; none without a terminal.
    """
    if not is_terminal():
        yield ()
        return
    with Progress(start_immediately=False) as progress:
        yield (progress,)


class Progress:
    """Show the progress of a run; an observer, used as a context manager around the run.

    Args:
        console: the console to draw on; by default standard error.
        clock: returns the time, in seconds since the epoch.
        auto_refresh: redraw several times a second in a thread; if False, only `refresh()` draws.
        start_immediately: start drawing immediately; if False, when workers have started, so that no thread is alive when they
            fork.
    """

    ignored_events = (DatasetReleased,)

    def __init__(
        self,
        console: Console | None = None,
        *,
        clock: Callable[[], float] = time.time,
        auto_refresh: bool = True,
        start_immediately: bool = True,
    ) -> None:
        from rich.console import Console

        self.state = RunProgress()
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._auto_refresh = auto_refresh
        self._start_immediately = start_immediately
        self._lock = fork_safe(threading.Lock())
        self._live: Live | None = None
        self._redirected_handlers: list[tuple[logging.Handler, str, Any]] = []
        self._streams: list[tuple[str, Any, Any]] = []  # name in sys, replacement, original
        self._user_input: UserInputMonitor | None = None

    def __enter__(self) -> Progress:
        if self._start_immediately:
            self._start()
        return self

    def _start(self) -> None:
        # The handlers' streams must be compared before sys.stdout and sys.stderr are replaced.
        self._redirect_handlers()
        self._show()
        if self._console.is_terminal:
            self._user_input = UserInputMonitor(self._hide, self._show)
            self._replace_streams(self._user_input)
            self._user_input.start()

    def _show(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=self._console,
            auto_refresh=self._auto_refresh,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
            get_renderable=self._draw,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _hide(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with suppress(OSError):  # a closed terminal must not fail the run
            try:
                if self._user_input is not None:
                    self._user_input.stop()
                self._restore_streams()
                self._hide()
            finally:
                self._live = self._user_input = None
                self._restore_handlers()
            summary = self._summary(kind)
            if summary:
                self._console.print(summary, highlight=False)

    def __call__(self, event: Event, /) -> None:
        """Handle one event."""
        with self._lock:
            self.state.update(event)
        if self._user_input is not None:
            self._user_input.resume()
        if isinstance(event, WorkerStarted) and self._user_input is None and self._live is None and not self._start_immediately:
            self._start()

    def refresh(self) -> None:
        """Redraw immediately."""
        if self._live is not None:
            self._live.refresh()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.markup import escape
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        now = self._clock()
        with self._lock:
            state = self.state
            busy = sorted(((since, worker, node) for worker, (node, since) in state.busy.items()), key=lambda line: line[0])
            unfinished_lines = dict(state.unfinished_lines)
            done, total, started, failed = state.done, state.total, state.started, len(state.failed)
            left = state.seconds_left(now)
        if not total:
            return Group()

        # Reserve a line each for the progress bar, the cursor, and the number of workers that do not fit.
        room = max(1, self._console.height - 3)
        lines = Table.grid(padding=(0, 1), expand=True)
        lines.add_column(width=1)
        lines.add_column(no_wrap=True, style="dim")
        lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        lines.add_column(no_wrap=True, justify="right", style="cyan")
        for since, worker, node in busy[:room]:
            spinner = Spinner("dots", style="cyan")
            spinner.start_time = 0.0
            shown = Text(printable(node))
            if node in unfinished_lines:
                shown.append(f"  {printable(unfinished_lines[node])}", style="dim")
            lines.add_row(spinner, escape(worker), shown, format_seconds(now - since))
        if len(busy) > room:
            lines.add_row("", "", f"… and {len(busy) - room} more", "", style="dim")

        foot = Table.grid(padding=(0, 1))
        foot.add_column(width=24)
        foot.add_column(no_wrap=True)
        text = f"{done}/{total} nodes · {format_seconds(now - started)}"
        text += f" · about {format_seconds(left)} left" if left is not None and left >= 1 else ""
        text += f" · [red]{failed} failed[/red]" if failed else ""
        foot.add_row(ProgressBar(total=total, completed=done, width=24), text)
        return Group(lines, foot)

    def _summary(self, kind: type[BaseException] | None) -> str:
        from rich.markup import escape

        state = self.state
        if not state.total:
            return ""
        end = state.finished.at if state.finished else self._clock()
        took = format_seconds(end - state.started)
        outcome = state.finished.outcome if state.finished else Outcome.SUCCEEDED if kind is None else Outcome.FAILED
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            outcome = Outcome.INTERRUPTED
        reused = f", {len(state.reused)} up to date" if state.reused else ""
        finished = f"with {state.done} of {state.total} nodes finished{reused}"
        if outcome is Outcome.SUCCEEDED:
            nodes = "1 node" if state.done == 1 else f"{state.done} nodes"
            return f"[green]{outcome.symbol}[/green] {nodes} in {took}{reused} ({state.description})"
        if outcome is Outcome.INTERRUPTED:
            return f"[yellow]{outcome.symbol}[/yellow] interrupted after {took}, {finished}"
        if state.ended_by is not None and len(state.failed) == 1:
            how = f"ended by {escape(printable(state.ended_by))} after {took}, {finished}"
            return f"[yellow]{Outcome.INTERRUPTED.symbol}[/yellow] {how}"
        return f"[red]{outcome.symbol}[/red] failed after {took}, {finished}"

    def _replace_streams(self, user_input: UserInputMonitor) -> None:
        """Show the output of nodes above the display, each line with its node."""
        from rich.file_proxy import FileProxy

        def show(node: str, line: str) -> None:
            with self._lock:
                self.state.unfinished_lines[node] = line

        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if original is not None:
                sink: Any = FileProxy(self._console, original) if original.isatty() else None
                stream = NodeStream(original, sink, show=show, is_raw=user_input.is_active)
                self._streams.append((name, stream, original))
                setattr(sys, name, stream)

    def _restore_streams(self) -> None:
        while self._streams:
            name, stream, original = self._streams.pop()
            stream.finish()
            if getattr(sys, name) is stream:
                setattr(sys, name, original)

    def _redirect_handlers(self) -> None:
        """Redirect every log handler that writes to this terminal to the display's console."""
        from rich.file_proxy import FileProxy

        terminals = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and stream.isatty()]
        for handler in _all_handlers():
            # A RichHandler, or another handler with a rich console.
            console = getattr(handler, "console", None)
            if console is not None and console is not self._console and getattr(console, "is_terminal", False):
                self._redirected_handlers.append((handler, "console", console))
                handler.console = self._console  # type: ignore[attr-defined]  # it has one: see above
            # Handlers without an own stream look up sys.stderr and need no redirection.
            stream = vars(handler).get("stream")
            if stream is not None and isinstance(handler, logging.StreamHandler) and any(stream is each for each in terminals):
                self._redirected_handlers.append((handler, "stream", stream))
                handler.setStream(FileProxy(self._console, stream))

    def _restore_handlers(self) -> None:
        while self._redirected_handlers:
            handler, attribute, value = self._redirected_handlers.pop()
            setattr(handler, attribute, value)


def _all_handlers() -> list[logging.Handler]:
    named = [entry for entry in logging.root.manager.loggerDict.values() if isinstance(entry, logging.Logger)]
    return list(dict.fromkeys(handler for logger in (logging.root, *named) for handler in logger.handlers))
