"""The log lines of a run: those of each attempt at a node, and those that belong to no node.

A line is a log record: its message, which may have several lines of text, such as a traceback. A node that logs a lot must not
fill the store, so of each attempt the first lines are kept and the last ones, and a line says how many are missing in between::

    nodes, workers ── add ──▶ RunLog: first lines ──────────▶ take, every 0.2 s ──▶ LogBatch, one row of the store
                                └─ last lines, until the attempt ends ──┘

State: the lines of one run. Neighbours: `treadle.project.log_capture` adds the records, `recorder.py` says when attempts end.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple
from treadle.observe.store.line_text import kept_length, masked, text_of
from treadle.observe.store.plain import plain_text

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Iterable, Iterator

FIRST_LINES = 400
"""Lines of an attempt that are kept from its beginning."""

FIRST_CHARACTERS = 64_000
"""Characters of an attempt that are kept from its beginning."""

LAST_LINES = 100
"""Lines of an attempt that are kept from its end."""

LAST_CHARACTERS = 16_000
"""Characters of an attempt that are kept from its end."""

RUN_CHARACTERS = 16_000_000
"""Characters that are kept of a run."""

_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})

REPORTED_ELSEWHERE = frozenset({"treadle.run", "kedro.runner.treadle.nodes"})
"""Loggers with a line for each event of the run, which the record has in other columns."""


class LogLine(NamedTuple):
    """A log record, or a gap between records.

    Attributes:
        at: when it was logged, seconds since the epoch.
        level: name of the level, of one that Python does not have with its number, `NOTICE (25)`; empty for a gap.
        logger: name of the logger.
        text: the message, with its traceback if it has one.
        node: the node that logged it; None if it belongs to no node.
        attempt: the attempt at the node; None without a node.
        worker: label of the worker.
        left_out: of a gap, how many lines are missing here.
    """

    at: float
    level: str
    logger: str
    text: str
    node: str | None
    attempt: int | None
    worker: str | None
    left_out: int = 0


class LogBatch(NamedTuple):
    """Lines that were logged one after the other, as JSON."""

    text: str

    @classmethod
    def of(cls, lines: Iterable[LogLine]) -> LogBatch:
        """Make a batch of lines."""
        return cls(json.dumps(list(lines), separators=(",", ":")))

    def lines(self) -> Iterator[LogLine]:
        """Yield the lines."""
        for line in json.loads(self.text):
            yield LogLine(*line)


def log_lines(batches: Iterable[LogBatch]) -> list[LogLine]:
    """Return the lines of a run in the order in which they were logged.

    Args:
        batches: the `log` of its record.
    """
    return sorted((line for batch in batches for line in batch.lines()), key=lambda line: line.at)


def _level(record: logging.LogRecord) -> str:
    """Return the name of a record's level, with its number unless every process knows it: an application may add names."""
    name = str(record.levelname)
    return name if name in _LEVELS or name.startswith("Level ") else f"{name} ({record.levelno})"


class _AttemptLog:
    """The lines of an attempt that is running."""

    __slots__ = ("characters", "last", "later", "lines")

    def __init__(self) -> None:
        self.lines = 0
        self.characters = 0
        self.last: deque[LogLine] = deque(maxlen=LAST_LINES)
        self.later = 0  # lines after the first ones


class RunLog:
    """The log of one run.

    Args:
        mask: masks the secrets in a text.
        ignored: names of loggers whose records are not kept.
    """

    def __init__(self, mask: Callable[[str], str], ignored: Collection[str] = REPORTED_ELSEWHERE) -> None:
        self._mask = mask
        self._ignored = ignored
        self._new: deque[LogLine] = deque()
        self._running: dict[str | None, _AttemptLog] = {}
        self._attempts: dict[str | None, int] = {}  # the next attempt at each node that has failed
        self._characters = 0
        self._left_out = 0  # because of the limit of the run
        self._last_at = 0.0
        self.batches: list[LogBatch] = []
        """The lines that were taken, in order."""

    def add(self, record: logging.LogRecord, node: str | None, worker: str | None) -> None:
        """Add a log record.

        Args:
            record: the record.
            node: the node that logged it, if any.
            worker: label of its worker.
        """
        if record.name in self._ignored:
            return
        attempt = self._running.get(node)
        if attempt is None:
            attempt = self._running.setdefault(node, _AttemptLog())
        text = text_of(record)
        number = self._attempts.get(node, 1) if node is not None else None
        line = LogLine(record.created, _level(record), str(record.name), text, node, number, worker)
        if attempt.later or attempt.lines >= FIRST_LINES or attempt.characters >= FIRST_CHARACTERS:
            attempt.last.append(line)
            attempt.later += 1
            return
        attempt.lines += 1
        attempt.characters += kept_length(text)
        self._keep(line)

    def end_attempt(self, node: str | None, next_attempt: int | None = None) -> None:
        """Keep the last lines of an attempt that has ended.

        Args:
            node: the node; None for the lines that belong to no node.
            next_attempt: the number of the attempt that the node's next lines belong to, if this one has failed.
        """
        if next_attempt is not None:
            self._attempts[node] = next_attempt
        ended = self._running.pop(node, None)
        if ended is None or not ended.later:
            return
        last: list[LogLine] = []
        characters = 0
        for line in reversed(ended.last):
            characters += kept_length(line.text)
            if last and characters > LAST_CHARACTERS:
                break
            last.append(line)
        if missing := ended.later - len(last):
            first = last[-1]
            self._new.append(LogLine(first.at, "", "", "", node, first.attempt, first.worker, missing))
        for line in reversed(last):
            self._keep(line)

    def take(self) -> int:
        """Make a batch of the lines that have been added since the last call, if there are any.

        Returns:
            The number of batches.
        """
        if self._new:
            taken = [self._new.popleft() for _ in range(len(self._new))]
            self._last_at = taken[-1].at
            self.batches.append(LogBatch.of(self._stored(line) for line in taken))
        return len(self.batches)

    def finish(self) -> tuple[LogBatch, ...]:
        """Return all batches of a run that has ended."""
        for node in list(self._running):
            self.end_attempt(node)
        self.take()
        if self._left_out:
            self._new.append(LogLine(self._last_at, "", "", "", None, None, None, self._left_out))
            self._left_out = 0
        self.take()
        return tuple(self.batches)

    def _stored(self, line: LogLine) -> LogLine:
        """Return a line as it is stored: with secrets masked, and without characters that databases refuse."""
        node = line.node if line.node is None else plain_text(line.node)
        return line._replace(text=plain_text(masked(line.text, self._mask)), logger=plain_text(line.logger), node=node)

    def _keep(self, line: LogLine) -> None:
        if self._characters >= RUN_CHARACTERS:
            self._left_out += 1
            return
        self._characters += kept_length(line.text)
        self._new.append(line)
