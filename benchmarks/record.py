"""What it costs to write the record of a run while it goes on, to log a line into it, and to make a report of it."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Figure
from light import noop

if TYPE_CHECKING:
    from treadle import Pipeline

NODES = 10_000
GOAL = 20.0
"""Microseconds a node at the most, on the run's own thread and in all: two percent of a node of one millisecond."""
LINES = 20_000
LINE_GOAL = 5.0
"""Microseconds that the logging of a line may take longer in a recorded run."""
REPORT_GOAL, REPORT_MEGABYTES, EMPTY_KILOBYTES = 1.0, 3.0, 300.0
"""Processor time of a report of all nodes, its size, and the size of a report of nothing."""


def figures(repeats: int) -> list[Figure]:
    """Return the figures: the same run of no-ops with and without a record, on the sequential runner."""
    from treadle import Pipeline, node

    pipeline = Pipeline([node(noop, "source", f"d{index}", name=f"n{index}") for index in range(NODES)])
    plain, recorded = [], []
    for _ in range(repeats + 1):
        plain.append(_run(pipeline, is_recorded=False))
        recorded.append(_run(pipeline, is_recorded=True))
    (own, used, whole), (own_recorded, used_recorded, whole_recorded) = _medians(plain[1:]), _medians(recorded[1:])
    thread, process = (own_recorded - own) / NODES * 1e6, (used_recorded - used) / NODES * 1e6
    process_detail = f"processor time of the process: {used:.3f} s without a record, {used_recorded:.3f} s with one"
    detail = f"processor time of that thread: {own:.3f} s without a record, {own_recorded:.3f} s with one"
    what = f"record of {NODES:,} no-ops, sequential"
    return [
        Figure(f"{what}: cost on the run's own thread", thread, "µs a node", GOAL, detail),
        Figure(f"{what}: cost in all threads", process, "µs a node", GOAL, process_detail),
        Figure(f"{what}: time of the whole run", whole_recorded, detail=f"{whole:.3f} s without a record"),
        *_log_figures(repeats),
        *_report_figures(pipeline, repeats),
    ]


def _log_figures(repeats: int) -> list[Figure]:
    """Return what a recorded run adds to the logging of a line that no handler shows."""
    from treadle.observe.store.log_lines import RunLog
    from treadle.project.log_capture import logs_captured

    logger = logging.getLogger("bench.record")
    logger.propagate = False

    def log() -> float:
        began = time.thread_time()
        for number in range(LINES):
            logger.warning("row %d of %s", number, "orders")
        return (time.thread_time() - began) / LINES * 1e6

    plain, captured = [], []
    logger.addHandler(logging.NullHandler())
    for _ in range(repeats + 1):
        plain.append(log())
        with logs_captured(RunLog(str)):
            captured.append(log())
    added = statistics.median(captured[1:]) - statistics.median(plain[1:])
    return [
        Figure("log line of a node: added by the record", added, "µs a line", LINE_GOAL, "beyond the limit of a node as well")
    ]


def _report_figures(pipeline: Pipeline, repeats: int) -> list[Figure]:
    """Return the processor time of reading a record and making its report, and sizes of reports."""
    from treadle import Catalog, SequentialRunner
    from treadle.observe.report.report import Report
    from treadle.observe.store import SQLStore

    with tempfile.TemporaryDirectory() as folder, closing(SQLStore(project_path=folder)) as store:
        record = _Record(Path(folder))
        SequentialRunner().run(pipeline, Catalog({"source": 1}), observers=(record.recorder,))
        record.complete()
        times, size = [], 0
        for _ in range(repeats + 1):
            began = time.process_time()
            session = store.load("session")
            size = len(Report(session).html().encode())
            times.append(time.process_time() - began)
        empty = len(Report(session._replace(runs=())).html().encode())
    detail = "processor time, from the record in the store to the page"
    return [
        Figure(f"report of {NODES:,} nodes", statistics.median(times[1:]), "s", REPORT_GOAL, detail),
        Figure(f"report of {NODES:,} nodes: size", size / 1e6, "MB", REPORT_MEGABYTES),
        Figure("report of nothing: size", empty / 1e3, "kB", EMPTY_KILOBYTES),
    ]


def _medians(runs: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    own, used, whole = zip(*runs, strict=True)
    return statistics.median(own), statistics.median(used), statistics.median(whole)


def _run(pipeline: Pipeline, *, is_recorded: bool) -> tuple[float, float, float]:
    """Return the processor times of this thread and of all threads, and the seconds of a run with its complete record."""
    from treadle import Catalog, SequentialRunner

    with tempfile.TemporaryDirectory() as folder:
        record = _Record(Path(folder)) if is_recorded else None
        thread, process, began = time.thread_time(), time.process_time(), time.perf_counter()
        SequentialRunner().run(pipeline, Catalog({"source": 1}), observers=(record.recorder,) if record is not None else ())
        thread = time.thread_time() - thread
        if record is not None:
            record.complete()
        return thread, time.process_time() - process, time.perf_counter() - began


class _Record:
    """A record in a store of its own."""

    def __init__(self, folder: Path) -> None:
        from treadle.observe.store import RunRecorder, SQLStore
        from treadle.observe.store.live import LiveRecord

        self._session = self._describe(None)
        self._store = SQLStore(project_path=folder)
        writer = self._store.live_writer("session")
        assert writer is not None
        self.recorder = RunRecorder("run", number=1, pipelines=(), runner="sequential", params={}, started=time.time())
        self._live = LiveRecord("session", writer, describe=lambda: self._session, mask=lambda run: run)
        self.recorder.on_first_node = lambda: self._live.begin_run(self.recorder)

    @staticmethod
    def _describe(finished: float | None, *runs: Any) -> Any:
        from treadle.observe.store import SessionRecord

        return SessionRecord(
            session_id="session",
            project_path="",
            package_name="",
            env=None,
            conf_source="",
            extra_params={},
            command=None,
            started=time.time(),
            finished=finished,
            outcome=None,
            user=None,
            host=None,
            pid=0,
            git_commit=None,
            git_dirty=None,
            environment={},
            versions={},
            runs=runs,
        )

    def complete(self) -> None:
        """Complete the record, and check it."""
        from treadle.events import Outcome

        self._live.stop()
        run = self.recorder.record(Outcome.SUCCEEDED, finished=time.time())
        self._store.save(self._describe(time.time(), run))
        if self._store.list()[0].succeeded != NODES:
            msg = "the record: wrong number of nodes"
            raise SystemExit(msg)
        self._store.close()
